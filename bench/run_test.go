package bench

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
	"github.com/seed4d217819/ebb/kv"

	"github.com/seed4d217819/ebb/isa"
)

// small returns options that measure a tiny model in little time.
func small(t *testing.T, workloads ...string) Options {
	t.Helper()
	return Options{Options: measuretest.Small(t, "..", workloads...), BeamDepth: 50}
}

// run runs the workloads that the options name.
func run(t *testing.T, o Options) *measure.Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecodeComparesPoliciesPeersAndMemoryAtEveryDepth(t *testing.T) {
	o := small(t, "decode")
	o.Peer, o.KVTypes = PeerLlama, []string{"f16", "q8_0"}
	r := run(t, o)
	once := []string{"ebb static", "ebb offloaded", peerFlash, peerEager, "reading the bytes of a step"}
	quantized := slices.Delete(slices.Clone(once), 3, 4) // it needs flash attention
	for _, depth := range o.Depths {
		if diff := cmp.Diff(measuretest.Arms(r, "decode", depth, 1), append(slices.Clone(once), quantized...)); diff != "" {
			t.Errorf("arms at depth %d (-got +want):\n%s", depth, diff)
		}
	}
	for _, c := range r.Curves {
		for _, s := range c.Series {
			if len(s.Points) != 2 || s.Points[0].X != 0 || s.Points[1].X != 40 || s.Bound != strings.HasPrefix(s.Name, "reading") {
				t.Errorf("curve %s, series %+v: want points at 0 and 40, a bound where memory is read", c.Name, s)
			}
		}
	}
	if len(r.Curves) != 2 || len(r.Notes) != 0 {
		t.Errorf("%d curves and notes %q: want a curve for each type, and no note", len(r.Curves), r.Notes)
	}
	for _, s := range r.Scores {
		if resident := strings.HasPrefix(s.Name, "ebb static / llama.cpp"); resident != (s.Target > 0) {
			t.Errorf("score %+v: want a target for resident caches against the peer, and for no other", s)
		}
	}
}

func TestAttentionComparesTheKernelWithFlashAttentionAndMemory(t *testing.T) {
	o := small(t, "attention")
	o.KVTypes, o.Context, o.attentionBytes = []string{"f16", "q8_0"}, 2047, 1<<20
	set, err := isa.Parse(os.Getenv(isa.Variable))
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, o)
	if set == isa.GGML {
		if len(r.Notes) != 1 || len(r.Figures)+len(r.Scores) != 0 {
			t.Errorf("notes %q, figures %v, scores %v without a kernel: want a note alone", r.Notes, r.Figures, r.Scores)
		}
		return
	}
	kernel := "ebb kernel, " + set.String()
	var want []measure.Score
	got := slices.Clone(r.Scores)
	for _, kvType := range o.KVTypes {
		for _, rows := range []int{1, 4, 16} {
			of := measure.Score{Workload: "attention", Threads: 1, KVType: kvType, Depth: 512, Tokens: rows}
			read, flash := of, of
			read.Name, flash.Name = kernel+" / reading K/V", kernel+" / ggml flash attention"
			switch {
			case rows == 1 && kvType == "f16":
				read.Target = targetKernel
			case rows == 1:
				flash.Target = targetQ8
			}
			want = append(want, read, flash)
		}
	}
	for i := range got {
		if !(got[i].Value > 0) {
			t.Errorf("score %+v: want a ratio", got[i])
		}
		got[i].Value = 0
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("scores (-got +want):\n%s", diff)
	}
	if len(r.Figures) != 3*len(want)/2 || len(r.Notes) != 0 {
		t.Errorf("%d figures and notes %q: want one of each arm for each two of %d scores, and no note", len(r.Figures), r.Notes, len(want))
	}
	for _, f := range r.Figures {
		if !(f.Value > 0) || f.Unit != "GB/s" {
			t.Errorf("%+v: want GB/s", f)
		}
	}
}

func TestAttentionElsewhereThanOnTheCPUIsANote(t *testing.T) {
	o := Options{Options: measure.Options{GPULayers: 1}}
	res, err := o.attention(t.Context(), o.Options, measure.Model{})
	if err != nil || len(res.Notes) != 1 || len(res.Figures)+len(res.Scores) != 0 {
		t.Errorf("%+v, error %v: want a note alone", res, err)
	}
}

func TestHostScoresWhatTheLinkAloneAllows(t *testing.T) {
	r := run(t, small(t, "host"))
	const link = "ebb offloaded, 2 slots, link 4× compute, attention "
	if diff := cmp.Diff(measuretest.Arms(r, "host", 30, 1), []string{"ebb static", link + "device", link + "host", link + "auto"}); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(measuretest.Targets(r), map[string]float64{
		"the link alone / " + link + "host": 0,
		"the link alone / " + link + "auto": targetHost,
	}); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "streamed layers") }) {
		t.Errorf("notes %q: want one that says how many layers the host attends to", r.Notes)
	}
}

func TestBeamsShareAStepResidentAndOverALink(t *testing.T) {
	o := small(t, "beams")
	o.Pace.Steps = 18 // so that each beam is dropped once
	r := run(t, o)
	const resident, link = "ebb static", "ebb offloaded, 2 slots, link 4× compute"
	if diff := cmp.Diff(measuretest.Arms(r, "beams", 50, 1), []string{resident, link}); diff != "" {
		t.Errorf("arms of one token (-got +want):\n%s", diff)
	}
	want := []string{resident + ", 4 beams", resident + ", 4 tokens of one text", link + ", 4 beams"}
	if diff := cmp.Diff(measuretest.Arms(r, "beams", 50, 4), want); diff != "" {
		t.Errorf("arms of 4 tokens (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(measuretest.Targets(r), map[string]float64{
		resident + ", 4 beams / " + resident + ", steps/s":                       0,
		resident + ", 4 beams / " + resident + ", 4 tokens of one text, steps/s": targetBeamRows,
		link + ", 4 beams / " + link + ", tokens/s":                              targetBeams,
	}); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
}

func TestBeamsGrowAloneAndAreForkedAnewWhenRewound(t *testing.T) {
	o := small(t)
	e, err := measure.OpenEbb("ebb", o.Options, measure.Setting{Threads: 1, KVType: "f16"}, ebb.Options{Cache: kv.Static, Context: 128})
	if err != nil {
		t.Fatal(err)
	}
	a := &beamArm{Ebb: e}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	lengths := func() (all []int) {
		for _, b := range a.beams {
			all = append(all, b.Len())
		}
		return append(all, a.Seq.Len())
	}
	for _, tt := range []struct {
		depth, steps int
		want         []int // of the beams and of what they were forked from
	}{
		{depth: 20, steps: reorderSteps, want: []int{24, 24, 24, 24, 20}},
		{depth: 40, steps: 1, want: []int{41, 41, 41, 41, 40}},
		{depth: 10, steps: 3, want: []int{13, 13, 13, 13, 10}},
	} {
		if err := a.Rewind(t.Context(), tt.depth); err != nil {
			t.Fatal(err)
		}
		for i := range tt.steps {
			before := slices.Clone(a.beams)
			if err := a.Step(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			want := 0
			if (i+1)%reorderSteps == 0 {
				want = 1
			}
			if got := replaced(before, a.beams); got != want {
				t.Errorf("step %d: %d beams replaced, want %d", i+1, got, want)
			}
		}
		if diff := cmp.Diff(lengths(), tt.want); diff != "" {
			t.Errorf("depth %d, %d steps (-got +want):\n%s", tt.depth, tt.steps, diff)
		}
	}
}

// replaced counts the beams that changed.
func replaced(before, after []*kv.Seq) (n int) {
	for i := range before {
		if before[i] != after[i] {
			n++
		}
	}
	return n
}

func TestLookupComparesTextsWithAndWithoutGuesses(t *testing.T) {
	r := run(t, small(t, "lookup"))
	const resident, link = "ebb static", "ebb offloaded, 2 slots, link 4× compute"
	// The passage has more tokens of the tiny model than fit: 64 others, twice and a quarter, are
	// before 48 new ones.
	want := []string{resident, resident + ", 10 guesses", link, link + ", 10 guesses"}
	if diff := cmp.Diff(measuretest.Arms(r, "lookup", 2*64+16-1, 48), want); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(measuretest.Targets(r), map[string]float64{
		resident + ", 10 guesses / " + resident: 0,
		link + ", 10 guesses / " + link:         targetLookup,
	}); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	for _, f := range r.Figures {
		if strings.HasSuffix(f.Name, "tokens a pass") && !(f.Value >= 1 && f.Value <= 1+lookupTokens) {
			t.Errorf("%+v: want at least one token, and no more than were guessed and one", f)
		}
	}
	if len(r.Figures) != 4 {
		t.Errorf("figures %v: want the guesses that were right and the tokens a pass, of each cache", r.Figures)
	}
}

func TestSamplingCountsTimeAndGarbageOfEveryWayToChoose(t *testing.T) {
	got := measuretest.Figures(t, run(t, small(t, "sampling")), "sampling")
	for _, how := range []string{"greedy", "temperature, top-k 50, top-p 0.95", "top-p 0.95"} {
		for _, name := range []string{": a token, µs", ": a token, of a step, %"} {
			if !(got[how+name].Value > 0) {
				t.Errorf("no %q among %v", how+name, got)
			}
		}
		for _, name := range []string{": garbage of a token, bytes", ": garbage of a token, objects"} {
			if _, ok := got[how+name]; !ok {
				t.Errorf("no %q among %v", how+name, got)
			}
		}
	}
}

func TestOverheadCountsTimeAndGarbage(t *testing.T) {
	got := measuretest.Figures(t, run(t, small(t, "overhead")), "overhead")
	if got["a call into the library, ns"].Value <= 0 {
		t.Errorf("figures %v: want the time of a call", got)
	}
	for _, arm := range []string{"ebb static", "ebb offloaded, forced copies"} {
		for _, name := range []string{": a step beside its graphs and waits, µs", ": garbage of a step, bytes", ": garbage of a step, objects", ": garbage of a generated token, bytes"} {
			if _, ok := got[arm+name]; !ok {
				t.Errorf("no %q among %v", arm+name, got)
			}
		}
	}
}

func TestContentionComparesThreadsAloneAndBesideABusyProgram(t *testing.T) {
	o := small(t, "contention")
	o.Peer = PeerLlama
	r := run(t, o)
	want := []string{"ebb, threads fixed", "ebb, threads adapting", peerFlash, peerEager}
	for _, alone := range slices.Clone(want) {
		want = append(want, alone+", beside a busy program")
	}
	if diff := cmp.Diff(measuretest.Arms(r, "contention", 0, 1), want); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	targets := map[string]float64{}
	for _, s := range r.Scores {
		if s.Target > 0 {
			targets[s.Name] = s.Target
		}
	}
	if diff := cmp.Diff(targets, map[string]float64{
		"ebb, threads adapting / ebb, threads fixed":                                      targetAdapting,
		"ebb, threads adapting, beside a busy program / ebb, threads adapting, all steps": targetBeside,
	}); diff != "" || len(r.Scores) != 5 {
		t.Errorf("%d scores, want 5; targets (-got +want):\n%s", len(r.Scores), diff)
	}
}

// The target is for all steps together: most of them may be as fast as alone.
func TestStepsThatAreHeldUpCount(t *testing.T) {
	alone := measure.Row{Arm: "a", Summary: measure.Summarize([]float64{1, 1, 1, 1}), Samples: []float64{1, 1, 1, 1}}
	beside := measure.Row{Arm: "b", Summary: measure.Summarize([]float64{1, 1, 1, 5}), Samples: []float64{1, 1, 1, 5}}
	if got := besideScore(beside, alone, 0).Value; got != 0.5 {
		t.Errorf("score %g, want 0.5", got)
	}
}

func TestBusyProgramEndsWhenStoppedAndWhenItsOwnerIsGone(t *testing.T) {
	b, err := startBusy(t.Context(), os.Getpid())
	if err != nil {
		t.Skipf("it cannot be started here: %v", err)
	}
	b.stop()
	if s := b.cmd.ProcessState; s == nil || s.Success() {
		t.Errorf("stopped: %v, want one that was killed", s)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if b, err = startBusy(t.Context(), gone.Process.Pid); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait()
	if s := b.cmd.ProcessState; s == nil || !s.Exited() {
		t.Errorf("without its owner: %v, want one that has ended by itself", s)
	}
	b.stop()
}

func TestTimelineShowsEveryLayerOnEveryTrack(t *testing.T) {
	o := small(t, "timeline")
	r := run(t, o)
	if len(r.Timelines) != 2 {
		t.Fatalf("%d timelines: want one with copies and one with a link", len(r.Timelines))
	}
	for _, line := range r.Timelines {
		spans := map[string]int{}
		for _, s := range line.Spans {
			spans[s.Track+" "+s.Name]++
		}
		if spans["cpu compute layer"] != 5 || spans["cpu store store"] != 5 || spans["cpu compute logits"] != 1 || spans["step step"] != 1 {
			t.Errorf("%s: spans %v, want a step of 5 layers that are computed and stored, and its logits", line.Name, spans)
		}
		// What is in the two slots when a step begins was fetched before it.
		if n := spans["cpu fetch fetch"] + spans["cpu fetch fetch ahead"]; n < 5-2 {
			t.Errorf("%s: %d fetches, want one a layer but for the slots'", line.Name, n)
		}
	}
}
