package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/llamacpp"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// Real models compute what llama.cpp computes with the same libraries: both are given a text, and then
// llama.cpp's greedy tokens, so that one close choice does not part them. Products of quantised weights
// round activations to 8 bits, which makes much of a small difference; without that rounding there are
// small ones only.
func TestRealModelsComputeWhatLlamaCppDoes(t *testing.T) {
	for _, tt := range []struct {
		file   string
		f32    bool
		tokens int
		rms    float64 // of the differences of a step's logits, the most
	}{
		{testmodel.QwenCoder, false, 40, 0.3},   // 0.09 was measured
		{testmodel.QwenCoder, false, 4000, 0.3}, // 0.12
		{testmodel.Gemma3, false, 40, 1},        // 0.28
		{testmodel.Gemma3, false, 4000, 1},      // 0.63
		{testmodel.Gemma3, true, 40, 2e-2},      // 1e-3
		{testmodel.Gemma3, true, 4000, 2e-2},    // 4e-3
	} {
		name := fmt.Sprintf("%s/%d tokens", tt.file, tt.tokens)
		if tt.f32 {
			name += " in f32"
		}
		t.Run(name, func(t *testing.T) {
			path := testmodel.Real(t, tt.file)
			if tt.f32 {
				path = testmodel.Dequantized(t, path)
			}
			const steps = 24
			want, ids := llamaCpp(t, path, tt.tokens, steps)
			got := ofEbb(t, path, ids, steps)
			worst := 0.0
			for i := range want {
				d := rms(got[i], want[i])
				worst = max(worst, d)
				if best(got[i]) != best(want[i]) && margin(want[i]) > 3*tt.rms {
					t.Errorf("step %d: token %d, want %d, whose logit is %g above the next", i, best(got[i]), best(want[i]), margin(want[i]))
				}
			}
			t.Logf("logits differ by %.2g rms", worst)
			if !(worst <= tt.rms) {
				t.Errorf("logits differ by %g rms, want at most %g", worst, tt.rms)
			}
		})
	}
}

// rms returns the root of the mean square of the differences.
func rms(got, want []float32) float64 {
	sum := 0.0
	for i, w := range want {
		d := float64(got[i] - w)
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(want)))
}

func best(row []float32) int32 { return int32(slices.Index(row, slices.Max(row))) }

// margin returns how far the best logit is above the second.
func margin(row []float32) float64 {
	sorted := slices.Clone(row)
	slices.Sort(sorted)
	return float64(sorted[len(sorted)-1] - sorted[len(sorted)-2])
}

// llamaCpp has llama.cpp read so many tokens of a text and go on. It returns the logits of each step,
// and all tokens but the last.
func llamaCpp(t *testing.T, path string, tokens, steps int) (logits [][]float32, ids []int32) {
	t.Helper()
	m, err := llamacpp.OpenModel(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := m.NewContext(llamacpp.ContextOptions{Ctx: tokens + steps, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ids = story(t, path, tokens)
	for at := 0; len(logits) < steps; {
		if err := c.Decode(ids[at:], at, true); err != nil {
			t.Fatal(err)
		}
		at = len(ids)
		row := slices.Clone(c.Logits())
		logits = append(logits, row)
		ids = append(ids, best(row))
	}
	return logits, ids[:len(ids)-1]
}

// story returns the first tokens of a text.
func story(t *testing.T, path string, tokens int) []int32 {
	t.Helper()
	tok, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	ids, err := tok.Encode(testmodel.Story(tokens/8), tokenizer.Options{AddSpecial: true})
	if err != nil || len(ids) < tokens {
		t.Fatalf("%d tokens and the error %v, want %d", len(ids), err, tokens)
	}
	return ids[:tokens]
}

// ofEbb returns ebb's logits of the last steps.
func ofEbb(t *testing.T, path string, ids []int32, steps int) (logits [][]float32) {
	t.Helper()
	e, err := ebb.Open(path, ebb.Options{Device: "cpu", Threads: 1, KVType: "f32", Cache: kv.Static, Context: len(ids)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.NewSeq()
	defer s.Close()
	for first, at := len(ids)-steps+1, 0; at < len(ids); at, first = first, first+1 {
		out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: ids[at:first], Logits: 1}})
		if err != nil {
			t.Fatal(err)
		}
		logits = append(logits, out[0][0])
	}
	return logits
}
