package measure_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
)

// run runs the workloads that the options name.
func run(t *testing.T, o measure.Options) *measure.Report {
	t.Helper()
	r, err := measure.Run(t.Context(), o, measure.Workloads())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// idle is a peer that does nothing.
type idle struct{ label string }

func (p idle) Name() string                      { return p.label }
func (p idle) Rewind(context.Context, int) error { return nil }
func (p idle) Step(context.Context, int) error   { return nil }
func (p idle) Close() error                      { return nil }

func TestDecodeComparesPoliciesPeersAndMemoryAtEveryDepth(t *testing.T) {
	o := measuretest.Small(t, "../..", "decode")
	o.KVTypes = []string{"f16", "q8_0"}
	o.Peers = func(s measure.Setting, _ int) ([]measure.Peer, []string) {
		if s.KVType != "f16" {
			return []measure.Peer{{Arm: idle{"peer flash"}, Flash: true}}, []string{"the peer takes no q8_0"}
		}
		return []measure.Peer{{Arm: idle{"peer flash"}, Flash: true}, {Arm: idle{"peer"}}}, nil
	}
	r := run(t, o)
	f16 := []string{"ebb static", "ebb offloaded", "peer flash", "peer", "reading the bytes of a step"}
	q8 := slices.Delete(slices.Clone(f16), 3, 4)
	for _, depth := range o.Depths {
		if diff := cmp.Diff(measuretest.Arms(r, "decode", depth, 1), append(slices.Clone(f16), q8...)); diff != "" {
			t.Errorf("arms at depth %d (-got +want):\n%s", depth, diff)
		}
	}
	for _, c := range r.Curves {
		for _, s := range c.Series {
			if len(s.Points) != 2 || s.Points[0].X != 0 || s.Points[1].X != 40 || s.Bound != strings.HasPrefix(s.Name, "reading") {
				t.Errorf("curve %s, series %+v: want points at 0 and 40, and a bound where memory is read", c.Name, s)
			}
		}
	}
	if len(r.Curves) != 2 || len(r.Notes) != 1 {
		t.Errorf("%d curves and notes %q: want a curve for each type, and the peers' note", len(r.Curves), r.Notes)
	}
	for _, s := range r.Scores {
		if resident := strings.HasPrefix(s.Name, "ebb static / peer"); resident != (s.Target > 0) {
			t.Errorf("score %+v: want a target for resident caches against the peers, and for no other", s)
		}
	}
}

func TestPrefillTakesPromptsAtTheirDepth(t *testing.T) {
	o := measuretest.Small(t, "../..", "prefill")
	r := run(t, o)
	if diff := cmp.Diff(measuretest.Arms(r, "prefill", 20, 8), []string{"ebb static", "ebb offloaded"}); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if len(r.Scores) != 0 {
		t.Errorf("scores %v without a peer", r.Scores)
	}
}

func TestLinkScoresEveryRatioWithStepsAndPrompts(t *testing.T) {
	o := measuretest.Small(t, "../..", "link")
	r := run(t, o)
	want := []string{
		"ebb static", "ebb offloaded, 2 slots, link 1× compute", "ebb offloaded, 2 slots, link 3× compute", "ebb offloaded, forced copies",
	}
	for _, tokens := range []int{1, 512 - 30} {
		if diff := cmp.Diff(measuretest.Arms(r, "link", 30, tokens), want); diff != "" {
			t.Errorf("arms with %d tokens (-got +want):\n%s", tokens, diff)
		}
	}
	targets := 0
	for _, s := range r.Scores {
		if s.Target > 0 {
			targets++
		}
	}
	if len(r.Scores) != 6 || targets != 4 {
		t.Errorf("%d scores, %d with a target: want 6, and one for each ratio, with steps and with prompts", len(r.Scores), targets)
	}
	for _, s := range r.Curves[0].Series {
		if len(s.Points) != 2 || !(s.Points[0].X < s.Points[1].X) {
			t.Errorf("series %+v: want a point for each ratio, in order", s)
		}
	}
}

func TestRowsInFilesAreComparedWithComputingAndWithTheirCopies(t *testing.T) {
	o := measuretest.Small(t, "../..", "disk", "mixed")
	o.Context, o.DiskDepth = 1024, 800 // the tier keeps the last two blocks of a layer in memory
	r := run(t, o)
	file, err := doctor.OpenDiskFile(o.Disk, 1)
	direct := err == nil && file.Direct()
	if err == nil {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	const static, copies, reads = "ebb static", "the same copies without computing", "reading as many bytes"
	for workload, label := range map[string]string{
		"disk":  "ebb offloaded, rows on the disk",
		"mixed": "ebb offloaded, 0.5 of the rows in memory, the others on the disk",
	} {
		want := []string{static, label, copies}
		bound := fmt.Sprintf("max(%s, %s) / %s", static, copies, label)
		scores := map[string]float64{bound: 0.9, label + " / " + static: 0.95}
		if workload == "mixed" { // on a CPU, copies from memory take the cores that compute
			scores[bound] = 0
		}
		if direct { // elsewhere nobody knows what is read from a disk
			want = append(want, reads)
			scores[fmt.Sprintf("max(%s, %s) / %s", static, reads, label)] = 0
			scores[copies+" / "+reads] = 0
		}
		if diff := cmp.Diff(measuretest.Arms(r, workload, 800, 1), want); diff != "" {
			t.Errorf("arms of %s (-got +want):\n%s", workload, diff)
		}
		if diff := cmp.Diff(measuretest.Arms(r, workload, 800, 224), want[:2]); diff != "" {
			t.Errorf("arms of %s with a prompt (-got +want):\n%s", workload, diff)
		}
		got := map[string]float64{}
		for _, s := range r.Scores {
			if s.Workload == workload {
				got[s.Name] = s.Target
			}
		}
		if diff := cmp.Diff(got, scores); diff != "" {
			t.Errorf("targets of %s by score (-got +want):\n%s", workload, diff)
		}
	}
}

func TestSessionsAreComparedWithTheDiskAndWithComputingAnew(t *testing.T) {
	o := measuretest.Small(t, "../..", "session")
	r := run(t, o)
	const saving, restoring, first, anew = "saving", "restoring", "restoring, and the first token", "computing the tokens anew"
	got := measuretest.Arms(r, "session", 0, 300)
	for _, want := range []string{restoring, first, saving, anew} {
		if !slices.Contains(got, want) {
			t.Errorf("no arm %q among %q", want, got)
		}
	}
	want := map[string]float64{first + " / " + anew: 0}
	if runtime.GOOS == "linux" { // elsewhere disks are not measured
		want[restoring+" / reading as many bytes"] = 0.8
		want[saving+" / writing as many bytes"] = 0
	}
	if diff := cmp.Diff(measuretest.Targets(r), want); diff != "" {
		t.Errorf("targets by score (-got +want):\n%s", diff)
	}
	if left, err := os.ReadDir(o.Disk); err != nil || len(left) != 0 {
		t.Errorf("the folder has %v, %v: want nothing", left, err)
	}
}

func TestAutoIsComparedWithStaticAtEveryDepth(t *testing.T) {
	o := measuretest.Small(t, "../..", "auto")
	r := run(t, o)
	for _, depth := range o.Depths {
		if diff := cmp.Diff(measuretest.Arms(r, "auto", depth, 1), []string{"ebb static", "ebb auto"}); diff != "" {
			t.Errorf("arms at depth %d (-got +want):\n%s", depth, diff)
		}
	}
	if diff := cmp.Diff(measuretest.Targets(r), map[string]float64{"ebb auto / ebb static": 0.99}); diff != "" || len(r.Scores) != 2 {
		t.Errorf("%d scores, targets (-got +want):\n%s", len(r.Scores), diff)
	}
}

func TestSlotsAreComparedWithResidentLayersOfTheSameMemory(t *testing.T) {
	o := measuretest.Small(t, "../..", "slots")
	r := run(t, o)
	want := []string{
		"ebb static", "ebb offloaded, 2 slots", "ebb offloaded, 4 slots", "ebb offloaded, 3 slots and 1 resident", "ebb offloaded, 2 slots and 2 resident",
	}
	if diff := cmp.Diff(measuretest.Arms(r, "slots", 30, 1), want); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if len(r.Scores) != 4 {
		t.Errorf("%d scores: want one for each arm that streams", len(r.Scores))
	}
}

func TestPlansAreComparedWithWhatComesOut(t *testing.T) {
	o := measuretest.Small(t, "../..", "plan")
	r := run(t, o)
	arms := measuretest.Arms(r, "plan", 300, 1)
	if diff := cmp.Diff(arms, []string{"ebb static", "ebb offloaded, over a link", "ebb offloaded, rows on the disk"}); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	figures := measuretest.Figures(t, r, "plan")
	for i, arm := range arms {
		expected, measured := figures[arm+", expected, tokens/s"].Value, figures[arm+", measured, tokens/s"].Value
		if want := min(expected/measured, measured/expected); !(expected > 0) || r.Scores[i].Value != want || r.Scores[i].Target != 0.85 {
			t.Errorf("%s: expected %g, measured %g, score %+v: want %g with a target of 0.85", arm, expected, measured, r.Scores[i], want)
		}
	}
}

func TestWithoutAFolderNoDiskIsMeasured(t *testing.T) {
	o := measuretest.Small(t, "../..", "disk")
	o.Disk = ""
	if r, err := measure.Run(t.Context(), o, measure.Workloads()); r != nil || err == nil || !strings.Contains(err.Error(), "disk needs a disk: name a folder on it with --disk") {
		t.Errorf("report %v, error %v: want none, and one that names the flag", r, err)
	}
	o.Workloads = nil
	all := slices.DeleteFunc(measure.Workloads(), func(w measure.Workload) bool { return w.Name != "decode" && !w.Disk })
	r, err := measure.Run(t.Context(), o, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) == 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "Without disk, mixed, session:") {
		t.Errorf("%d rows, notes %q: want those of decode, and what is left out", len(r.Rows), r.Notes)
	}
}

func TestRooflineMeasuresMemoryWithEveryNumberOfThreads(t *testing.T) {
	o := measuretest.Small(t, "../..", "roofline")
	o.Threads = []int{1, 2}
	got := measuretest.Figures(t, run(t, o), "roofline")
	for _, want := range []string{"memory read, 1 thread, GB/s", "memory copied, 1 thread, GB/s", "memory read, 2 threads, GB/s", "memory copied, 2 threads, GB/s"} {
		if !(got[want].Value > 0) {
			t.Errorf("no %q among %v", want, got)
		}
	}
}

func TestCancelledRunReportsWhatWasMeasured(t *testing.T) {
	o := measuretest.Small(t, "../..", "decode", "link")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(line string) {
		if strings.HasPrefix(line, "decode at depth 40") {
			cancel()
		}
	}
	r, err := measure.Run(ctx, o, measure.Workloads())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want %v", err, context.Canceled)
	}
	if r == nil || len(measuretest.Arms(r, "decode", 0, 1)) == 0 || len(measuretest.Arms(r, "decode", 40, 1)) != 0 {
		t.Errorf("report %+v: want the rows of depth 0 alone", r)
	}
}

func TestRunRefusesWhatCannotBeMeasured(t *testing.T) {
	o := measuretest.Small(t, "../..", "decode")
	o.Depths = []int{511}
	if r, err := measure.Run(t.Context(), o, measure.Workloads()); r != nil || err == nil || !strings.Contains(err.Error(), "depth 511") {
		t.Errorf("report %v, error %v: want none, and one that names the depth", r, err)
	}
	o.Model = "nowhere.gguf"
	if r, err := measure.Run(t.Context(), o, measure.Workloads()); r != nil || err == nil || !strings.Contains(err.Error(), "nowhere.gguf") {
		t.Errorf("report %v, error %v: want none, and one that names the file", r, err)
	}
}
