package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// small returns options that measure a tiny model in no time.
func small(t *testing.T, workloads ...string) Options {
	t.Helper()
	if _, err := ggml.Load(); err != nil {
		t.Skipf("no ggml libraries: run make libs: %v", err)
	}
	return Options{
		Model:     filepath.Join("..", "testdata", "models", "tiny-gqa.gguf"),
		Workloads: workloads, Threads: []int{1}, Policies: []kv.Policy{kv.Static, kv.Offloaded},
		Depths: []int{0, 40}, Fill: 16, Prompts: []int{8}, PromptDepths: []int{20}, LinkDepth: 30, BeamDepth: 50, Ratios: []float64{1, 3},
		Pace: Pace{Rounds: 1, WarmUp: 1, Steps: 2, WarmUpSteps: 1},
	}
}

// arms returns the names of the rows of a point.
func arms(r *Report, workload string, depth, tokens int) (names []string) {
	for _, row := range r.Rows {
		if row.Workload == workload && row.Depth == depth && row.Tokens == tokens {
			names = append(names, row.Arm)
		}
	}
	return names
}

func TestDecodeComparesPoliciesPeersAndMemoryAtEveryDepth(t *testing.T) {
	o := small(t, "decode")
	o.Peer, o.KVTypes = PeerLlama, []string{"f16", "q8_0"}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	once := []string{"ebb static", "ebb offloaded", peerFlash, peerEager, "reading the bytes of a step"}
	quantized := slices.Delete(slices.Clone(once), 3, 4) // it needs flash attention
	for _, depth := range o.Depths {
		if diff := cmp.Diff(arms(r, "decode", depth, 1), append(slices.Clone(once), quantized...)); diff != "" {
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
	isa, err := attend.ParseISA(os.Getenv("EBB_ISA"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if isa == attend.NoKernel {
		if len(r.Notes) != 1 || len(r.Figures)+len(r.Scores) != 0 {
			t.Errorf("notes %q, figures %v, scores %v without a kernel: want a note alone", r.Notes, r.Figures, r.Scores)
		}
		return
	}
	kernel := "ebb kernel, " + isa.String()
	var want []Score
	got := slices.Clone(r.Scores)
	for _, kvType := range o.KVTypes {
		for _, rows := range []int{1, 4, 16} {
			of := Score{Workload: "attention", Threads: 1, KVType: kvType, Depth: 512, Tokens: rows}
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
	o := Options{GPULayers: 1}
	res, err := attention(t.Context(), o, Model{})
	if err != nil || len(res.Notes) != 1 || len(res.Figures)+len(res.Scores) != 0 {
		t.Errorf("%+v, error %v: want a note alone", res, err)
	}
}

func TestPrefillTakesPromptsAtTheirDepth(t *testing.T) {
	o := small(t, "prefill")
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arms(r, "prefill", 20, 8), []string{"ebb static", "ebb offloaded"}); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if len(r.Scores) != 0 {
		t.Errorf("scores %v without a peer", r.Scores)
	}
}

func TestLinkScoresEveryRatioWithStepsAndPrompts(t *testing.T) {
	o := small(t, "link")
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ebb static", "ebb offloaded, 2 slots, link 1× compute", "ebb offloaded, 2 slots, link 3× compute", "ebb offloaded, forced copies",
	}
	for _, tokens := range []int{1, 512 - 30} {
		if diff := cmp.Diff(arms(r, "link", 30, tokens), want); diff != "" {
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

func TestHostScoresWhatTheLinkAloneAllows(t *testing.T) {
	r, err := Run(t.Context(), small(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	const link = "ebb offloaded, 2 slots, link 4× compute, attention "
	if diff := cmp.Diff(arms(r, "host", 30, 1), []string{"ebb static", link + "device", link + "host", link + "auto"}); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(targetsOf(r), map[string]float64{
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
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const resident, link = "ebb static", "ebb offloaded, 2 slots, link 4× compute"
	if diff := cmp.Diff(arms(r, "beams", 50, 1), []string{resident, link}); diff != "" {
		t.Errorf("arms of one token (-got +want):\n%s", diff)
	}
	want := []string{resident + ", 4 beams", resident + ", 4 tokens of one text", link + ", 4 beams"}
	if diff := cmp.Diff(arms(r, "beams", 50, 4), want); diff != "" {
		t.Errorf("arms of 4 tokens (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(targetsOf(r), map[string]float64{
		resident + ", 4 beams / " + resident + ", steps/s":                       0,
		resident + ", 4 beams / " + resident + ", 4 tokens of one text, steps/s": targetBeamRows,
		link + ", 4 beams / " + link + ", tokens/s":                              targetBeams,
	}); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
}

func TestBeamsGrowAloneAndAreForkedAnewWhenRewound(t *testing.T) {
	o := small(t)
	e, err := openEbb("ebb", o, setting{1, "f16"}, ebb.Options{Cache: kv.Static, Context: 128})
	if err != nil {
		t.Fatal(err)
	}
	a := &beamArm{ebbArm: e}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	lengths := func() (all []int) {
		for _, b := range a.beams {
			all = append(all, b.Len())
		}
		return append(all, a.seq.Len())
	}
	for _, tt := range []struct {
		depth, steps int
		want         []int // of the beams and of what they were forked from
	}{
		{depth: 20, steps: reorderSteps, want: []int{24, 24, 24, 24, 20}},
		{depth: 40, steps: 1, want: []int{41, 41, 41, 41, 40}},
		{depth: 10, steps: 3, want: []int{13, 13, 13, 13, 10}},
	} {
		if err := a.rewind(t.Context(), tt.depth); err != nil {
			t.Fatal(err)
		}
		for i := range tt.steps {
			before := slices.Clone(a.beams)
			if err := a.step(t.Context(), 1); err != nil {
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

// replaced counts the beams that are others than before.
func replaced(before, after []*kv.Seq) (n int) {
	for i := range before {
		if before[i] != after[i] {
			n++
		}
	}
	return n
}

// targetsOf returns what each score should reach.
func targetsOf(r *Report) map[string]float64 {
	targets := map[string]float64{}
	for _, s := range r.Scores {
		targets[s.Name] = s.Target
	}
	return targets
}

func TestLookupComparesTextsWithAndWithoutGuesses(t *testing.T) {
	r, err := Run(t.Context(), small(t, "lookup"))
	if err != nil {
		t.Fatal(err)
	}
	const resident, link = "ebb static", "ebb offloaded, 2 slots, link 4× compute"
	// The passage has more tokens of the tiny model than fit: 64 others, twice and a quarter, are before 48 new ones.
	want := []string{resident, resident + ", 10 guesses", link, link + ", 10 guesses"}
	if diff := cmp.Diff(arms(r, "lookup", 2*64+16-1, 48), want); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(targetsOf(r), map[string]float64{
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
	got := figures(t, small(t, "sampling"))
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

// figures returns the figures of a run by name.
func figures(t *testing.T, o Options) map[string]Figure {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Figure{}
	for _, f := range r.Figures {
		if !(f.Value >= 0) || f.Workload != o.Workloads[0] {
			t.Errorf("%+v: want a number of %s", f, o.Workloads[0])
		}
		all[f.Name+", "+f.Unit] = f
	}
	return all
}

func TestRooflineMeasuresMemoryWithEveryNumberOfThreads(t *testing.T) {
	o := small(t, "roofline")
	o.Threads = []int{1, 2}
	got := figures(t, o)
	for _, want := range []string{"memory read, 1 thread, GB/s", "memory copied, 1 thread, GB/s", "memory read, 2 threads, GB/s", "memory copied, 2 threads, GB/s"} {
		if !(got[want].Value > 0) {
			t.Errorf("no %q among %v", want, got)
		}
	}
}

func TestOverheadCountsTimeAndGarbage(t *testing.T) {
	got := figures(t, small(t, "overhead"))
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
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ebb, threads fixed", "ebb, threads adapting", peerFlash, peerEager}
	for _, alone := range slices.Clone(want) {
		want = append(want, alone+", beside a busy program")
	}
	if diff := cmp.Diff(arms(r, "contention", 0, 1), want); diff != "" {
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
	alone := Row{Arm: "a", Summary: Summarize([]float64{1, 1, 1, 1}), Samples: []float64{1, 1, 1, 1}}
	beside := Row{Arm: "b", Summary: Summarize([]float64{1, 1, 1, 5}), Samples: []float64{1, 1, 1, 5}}
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
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
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

func TestCancelledRunReportsWhatWasMeasured(t *testing.T) {
	o := small(t, "decode", "link")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(line string) {
		if strings.HasPrefix(line, "decode at depth 40") {
			cancel()
		}
	}
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want %v", err, context.Canceled)
	}
	if r == nil || len(arms(r, "decode", 0, 1)) == 0 || len(arms(r, "decode", 40, 1)) != 0 {
		t.Errorf("report %+v: want the rows of depth 0 alone", r)
	}
}

func TestRunRefusesWhatCannotBeMeasured(t *testing.T) {
	o := small(t, "decode")
	o.Depths = []int{511}
	if r, err := Run(t.Context(), o); r != nil || err == nil || !strings.Contains(err.Error(), "depth 511") {
		t.Errorf("report %v, error %v: want none, and one that names the depth", r, err)
	}
	o.Model = "nowhere.gguf"
	if r, err := Run(t.Context(), o); r != nil || err == nil || !strings.Contains(err.Error(), "nowhere.gguf") {
		t.Errorf("report %v, error %v: want none, and one that names the file", r, err)
	}
}
