package bench

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/tokenizer"
)

// fakeBench writes programs that report what llama-bench and llama-batched-bench do, and note their
// arguments in a file.
func fakeBench(t *testing.T) (program string, calls func() []string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	folder := t.TempDir()
	log := filepath.Join(folder, "calls")
	script := func(name, body string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$@\" >> "+log+"\n"+body), 0o777); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script("llama-batched-bench", `for n; do last=$n; done
echo '|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |'
echo "|    40 |      2 |    $last |     99 |    0.100 |    10.00 |    0.500 |    10.00 |    0.600 |    10.00 |" >&2
`)
	// As many times as -r says, which comes last.
	program = script("llama-bench", `for n; do last=$n; done
times=4000000000
while [ $last -gt 1 ]; do times="$times, 2000000000"; last=$((last-1)); done
echo "[{\"samples_ns\": [$times]}]"
`)
	return program, func() []string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func TestPromptsCompareWaysToComputeAttention(t *testing.T) {
	o := small(t, "prompts")
	o.Prompts, o.Context = []int{32}, 64
	o.Attentions = []attend.Kind{attend.Auto, attend.Tiles}
	want := []string{"ebb static, attention auto", "ebb static, attention tiles"}
	if diff := cmp.Diff(measuretest.Arms(run(t, o), "prompts", 0, 32), want); diff != "" {
		t.Errorf("arms (-got +want):\n%s", diff)
	}
}

func TestPromptsCompareInstructionSetsAndPeers(t *testing.T) {
	o := small(t, "prompts", "curve")
	o.Prompts, o.Context = []int{8, 64}, 64
	o.ISAs = []isa.ISA{isa.Best, isa.GGML}
	o.Peer = PeerLlama
	o.PeerBench, _ = fakeBench(t)
	r := run(t, o)
	want := []string{"ebb static, best", "ebb static, ggml", peerFlash, peerEager, peerCommand}
	for _, n := range o.Prompts {
		if diff := cmp.Diff(measuretest.Arms(r, "prompts", 0, n), want); diff != "" {
			t.Errorf("arms with %d tokens (-got +want):\n%s", n, diff)
		}
	}
	for _, n := range curveSizes() {
		if got := measuretest.Arms(r, "curve", 0, n); len(got) != len(want) {
			t.Errorf("arms with %d tokens: %q", n, got)
		}
	}
	targets := map[string][]float64{}
	for _, s := range r.Scores {
		if s.Target != 0 && !slices.Contains(targets[s.Workload], s.Target) {
			targets[s.Workload] = append(targets[s.Workload], s.Target)
		}
		if s.Target != 0 && !strings.HasPrefix(s.Name, "ebb static, best / ") {
			t.Errorf("score %+v: want a target for the first instruction set alone", s)
		}
	}
	if diff := cmp.Diff(targets, map[string][]float64{"prompts": {targetShortPrompt}, "curve": {targetCurve}}); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	if len(r.Curves) != 2 || len(r.Notes) != 0 {
		t.Errorf("%d curves, notes %q: want a curve for each workload, and no note", len(r.Curves), r.Notes)
	}
}

func TestPromptsAreThoseOfTheFamiliesThatAreNamed(t *testing.T) {
	o := small(t, "prompts")
	o.Prompts, o.smallFamilies = []int{8}, true
	o.Families = []string{"llama-1b:q4_0", "llama-1b:q8_0"}
	r := run(t, o)
	for _, name := range o.Families {
		if diff := cmp.Diff(measuretest.Arms(r, name+"-prompts", 0, 8), []string{"ebb static"}); diff != "" {
			t.Errorf("arms of %s (-got +want):\n%s", name, diff)
		}
	}
}

func TestAnotherEnginesBenchTimesItsOwnSteps(t *testing.T) {
	program, calls := fakeBench(t)
	a := &commandPeer{program: program, model: "m.gguf", setting: measure.Setting{Threads: 2, KVType: "q8_0"}}
	const shared = "-m m.gguf -t 2 -ngl 0 -fa 1 -ctk q8_0 -ctv q8_0 -o json "
	for _, tt := range []struct {
		depth, tokens int
		pace          measure.Pace
		args          string
		want          []float64
	}{
		{0, 64, measure.Pace{Steps: 2, WarmUpSteps: 1}, "-p 64 -n 0 -r 3", []float64{2, 2}}, // the first wakes the threads
		{0, 1, measure.Pace{Steps: 4, WarmUpSteps: 1}, "-p 0 -n 4 -r 1", []float64{1, 1, 1, 1}},
		{40, 1, measure.Pace{Steps: 2}, "-p 0 -n 0 -gp 40,2 -r 1", []float64{2, 2}},
	} {
		rows, err := measure.Measure(t.Context(), []measure.Arm{a}, measure.Point{Depth: tt.depth, Tokens: tt.tokens},
			measure.Pace{Rounds: 1, Steps: tt.pace.Steps, WarmUpSteps: tt.pace.WarmUpSteps})
		if err != nil {
			t.Fatal(err)
		}
		if got := rows[0].Samples[:tt.pace.Steps]; !slices.Equal(got, tt.want) {
			t.Errorf("%d tokens at depth %d: %v, want %v seconds", tt.tokens, tt.depth, got, tt.want)
		}
		all := calls()
		if got := all[len(all)-1]; got != shared+tt.args {
			t.Errorf("%d tokens at depth %d: arguments %s, want %s", tt.tokens, tt.depth, got, shared+tt.args)
		}
	}
	if err := a.Rewind(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Turn(t.Context(), 8, measure.Pace{Steps: 1}); err == nil {
		t.Error("a prompt behind a token: want an error, as llama-bench measures none")
	}
}

func TestAnotherEngineThatDoesNotRunIsLeftOutWithANote(t *testing.T) {
	fails, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	s := measure.Setting{Threads: 1, KVType: "f16"}
	for _, tt := range []struct {
		program string
		o       measure.Options
		want    string
	}{
		{"/nowhere/llama-bench", measure.Options{}, "nowhere"},
		{fails, measure.Options{}, "exit status 1"},
		{fails, measure.Options{Device: "vulkan0"}, "on the CPU only"},
	} {
		o := Options{Options: tt.o, PeerBench: tt.program}
		peers, notes := o.openAll(s, 8)
		if len(peers) != 0 || len(notes) != 1 || !strings.Contains(notes[0], tt.want) {
			t.Errorf("%s: %d peers, notes %q: want none, and a note with %q", tt.program, len(peers), notes, tt.want)
		}
	}
}

func TestReportsThatAreNoneAreRefused(t *testing.T) {
	for _, report := range []string{"", "{}", "[]", `[{"samples_ns": []}]`, `[{"samples_ns": [0]}]`, `[{"samples_ns": [-1]}]`, `[{}, {}]`} {
		if _, err := readSamples([]byte(report)); err == nil {
			t.Errorf("%s: want an error", report)
		}
	}
	const line = "| 1 | 2 | 8 | 24 | 0.1 | 1 | %s | 1 | 1 | 1 |"
	for _, table := range []string{"", "|--|", fmt.Sprintf(line, "0"), fmt.Sprintf(line, "x"), strings.ReplaceAll(fmt.Sprintf(line, "1"), " 8 ", " 4 ")} {
		if _, err := readBatched(table, 8, 2); err == nil {
			t.Errorf("%s: want an error", table)
		}
	}
	if got, err := readBatched(fmt.Sprintf(line, "0.25"), 8, 2); err != nil || got != 0.25 {
		t.Errorf("got %g s, error %v: want 0.25", got, err)
	}
}

func TestSequencesAreComparedWithAnotherEngine(t *testing.T) {
	o := small(t, "sequences")
	o.smallFamilies, o.Depths, o.Families = true, []int{40}, []string{"llama-1b:q4_0"}
	o.ISAs, o.Sequences = []isa.ISA{isa.Best, isa.GGML}, []int{2, manySequences}
	o.PeerBench, _ = fakeBench(t)
	r := run(t, o)
	for _, n := range o.Sequences {
		want := []string{"ebb static, one step, best", "ebb static, one step, ggml", "the peer's llama-batched-bench"}
		if diff := cmp.Diff(measuretest.Arms(r, "sequences", 40, n), want); diff != "" {
			t.Errorf("arms of %d sequences (-got +want):\n%s", n, diff)
		}
	}
	for _, s := range r.Scores {
		want := 0.0
		if s.Tokens == 8 && s.Name == "ebb static, one step, best / the peer's llama-batched-bench" {
			want = targetSequences
		}
		if s.Target != want {
			t.Errorf("score %+v: want a target of %g", s, want)
		}
	}
}

func TestPerplexityComparesInstructionSets(t *testing.T) {
	r := run(t, small(t, "perplexity"))
	if len(r.Figures) != 3 || len(r.Scores) != 1 || r.Scores[0].Target != targetPerplexity {
		t.Fatalf("figures %+v, scores %+v: want two perplexities and their difference, and a score", r.Figures, r.Scores)
	}
	best, ggml := r.Figures[0].Value, r.Figures[1].Value
	if want := 100 * (best/ggml - 1); r.Figures[2].Value != want || r.Scores[0].Value != min(best, ggml)/max(best, ggml) {
		t.Errorf("%g and %g: difference %g %%, score %g", best, ggml, r.Figures[2].Value, r.Scores[0].Value)
	}
}

// A model that has learnt nothing expects every token alike, and so does the formula.
func TestLogProbability(t *testing.T) {
	for _, shift := range []float32{0, 1000, -1000} {
		logits := []float32{shift, shift, shift, shift + float32(math.Log(5))}
		if got, want := logProbability(logits, 3), math.Log(5.0/8); math.Abs(got-want) > 1e-3 {
			t.Errorf("logits around %g: %g, want %g", shift, got, want)
		}
	}
}

// The text must be as long as is said, with the tokenizer of the model that it is measured with.
func TestThePerplexityTextIsLongEnough(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(cache, "ebb", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skip("SmolLM2 is not in the cache: run make model")
	}
	tok, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, tok)
	ids, err := tok.Encode(perplexityText, tokenizer.Options{})
	if err != nil || len(ids) < perplexityTokens {
		t.Errorf("%d tokens, error %v: want at least %d", len(ids), err, perplexityTokens)
	}
}

// A whole model is measured only where it is named, with a target of its own, and instruction sets are
// compared with each other.
func TestWholeFamiliesAreDecodedWithSeveralInstructionSets(t *testing.T) {
	o := small(t, "families")
	o.Model, o.smallFamilies, o.Families, o.Depths = "", true, []string{"llama-1b:q8_0"}, []int{0}
	o.ISAs = []isa.ISA{isa.Best, isa.GGML}
	o.PeerBench, _ = fakeBench(t)
	r := run(t, o)
	want := map[string]float64{
		"ebb static, best / ebb static, ggml":            0,
		"ebb static, best / " + peerCommand:              targetWhole,
		"ebb static, ggml / " + peerCommand:              targetWhole,
		"ebb static, best / reading the bytes of a step": 0,
		"ebb static, ggml / reading the bytes of a step": 0,
	}
	if diff := cmp.Diff(measuretest.Targets(r), want); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	some, err := families.Find()
	if err != nil || slices.ContainsFunc(some, func(f families.Family) bool { return f.Whole }) {
		t.Errorf("no names: a whole model is among the families, or error %v", err)
	}
}

func TestNumbersOfSequencesAreChecked(t *testing.T) {
	o := small(t, "sequences")
	o.Sequences = []int{0}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "0 sequences: want at least 1") {
		t.Errorf("error %v", err)
	}
}
