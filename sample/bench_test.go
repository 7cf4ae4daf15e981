package sample_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/seed4d217819/ebb/sample"
)

// logits returns scores like those of a language model: nearly all tokens about 17 below the best,
// a few hundred in between, so that the best has a probability of about a third.
func logits(vocab int) []float32 {
	r := newRand(1)
	scores := make([]float32, vocab)
	for i := range scores {
		scores[i] = float32(r.NormFloat64()*2.2 - 4)
	}
	for i := range 300 {
		scores[r.IntN(vocab)] = float32(13 - 1.3*float64(i)/(1+float64(i)/8) + r.NormFloat64()*0.3)
	}
	return scores
}

// A token's cost for vocabularies of Qwen 2.5 and SmolLM2, with the copy of the logits that each
// starts from.
func BenchmarkToken(b *testing.B) {
	for _, vocab := range []int{151_936, 49_152} {
		for _, bench := range []struct {
			name   string
			config sample.Config
			greedy bool
		}{
			{name: "greedy", greedy: true},
			{name: "usual", config: sample.Config{Temperature: new(0.7), TopP: new(0.95)}},
			{name: "top-p", config: sample.Config{TopK: new(0), TopP: new(0.95)}},
			{name: "all", config: sample.Config{TopK: new(0)}},
			{name: "min-p", config: sample.Config{TopK: new(0), MinP: 0.05}},
			{name: "typical", config: sample.Config{TopK: new(0), TypicalP: new(0.9)}},
			{name: "eta", config: sample.Config{TopK: new(0), EtaCutoff: 2e-4}},
			{name: "penalties", config: sample.Config{RepetitionPenalty: 1.1, NoRepeatNGramSize: 3, TopP: new(0.95)}},
		} {
			b.Run(fmt.Sprintf("vocab=%d/%s", vocab, bench.name), func(b *testing.B) {
				step := newStep(b, bench.config, !bench.greedy, logits(vocab))
				for b.Loop() {
					if err := step(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("vocab=%d/copy", vocab), func(b *testing.B) {
			source, scores := logits(vocab), make([]float32, vocab)
			for b.Loop() {
				copy(scores, source)
			}
		})
		b.Run(fmt.Sprintf("vocab=%d/log-softmax", vocab), func(b *testing.B) {
			scores := logits(vocab)
			for b.Loop() {
				if err := sample.LogSoftmax(scores); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("vocab=%d/best-8-of-4-beams", vocab), func(b *testing.B) {
			scores, best := logits(4*vocab), []int(nil)
			for b.Loop() {
				best = sample.Best(best, scores, 8)
			}
		})
	}
}

// newStep returns a function that chooses one token from logits.
func newStep(tb testing.TB, config sample.Config, draw bool, logits []float32) func() error {
	tb.Helper()
	ids := make([]int32, 1000)
	r := newRand(3)
	for i := range ids {
		ids[i] = r.Int32N(int32(len(logits)))
	}
	chain, err := config.Chain(sample.Setting{PromptLength: 500, Sample: draw})
	if err != nil {
		tb.Fatal(err)
	}
	scores := make([]float32, len(logits))
	sampler := sample.NewSampler(1)
	return func() error {
		copy(scores, logits)
		if draw {
			_, err := chain.Draw(sampler, ids, scores)
			return err
		}
		if err := chain.Process(ids, scores); err != nil {
			return err
		}
		_, err := sample.Argmax(scores)
		return err
	}
}

// The same tokens chosen as the definitions say (reference_test.go), with a sort of the vocabulary:
// what the views, the histogram and the heap of this package save. BenchmarkToken's time divided by
// this one's is the gain that their comments give.
func BenchmarkTokenPlain(b *testing.B) {
	const vocab = 151_936
	for _, bench := range []struct {
		name string
		keep func(scores []float32) []bool
	}{
		{"usual", func(s []float32) []bool { return refTopP(keepOnly(s, refTopK(s, 50, 1)), 0.95, 1) }},
		{"top-p", func(s []float32) []bool { return refTopP(s, 0.95, 1) }},
		{"all", func(s []float32) []bool { return keepIf(s, func(int) bool { return true }) }},
		{"min-p", func(s []float32) []bool { return refMinP(s, 0.05, 1) }},
		{"typical", func(s []float32) []bool { return refTypical(s, 0.9, 1) }},
	} {
		b.Run(fmt.Sprintf("vocab=%d/%s", vocab, bench.name), func(b *testing.B) {
			source, scores, r := logits(vocab), make([]float32, vocab), newRand(1)
			for b.Loop() {
				copy(scores, source)
				keepOnly(scores, bench.keep(scores))
				at := r.Float64()
				for _, p := range softmax(scores) {
					if at -= p; at < 0 {
						break
					}
				}
			}
		})
	}
	b.Run(fmt.Sprintf("vocab=%d/greedy", vocab), func(b *testing.B) {
		source, scores := logits(vocab), make([]float32, vocab)
		for b.Loop() {
			copy(scores, source)
			best := 0
			for i, x := range scores {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 1) {
					b.Fatal(i)
				}
				if x > scores[best] {
					best = i
				}
			}
		}
	})
	b.Run(fmt.Sprintf("vocab=%d/best-8-of-4-beams", vocab), func(b *testing.B) {
		scores := logits(4 * vocab)
		for b.Loop() {
			_ = ranking(scores)[:8]
		}
	})
}

// keepOnly forbids the tokens that do not stay.
func keepOnly(scores []float32, stays []bool) []float32 {
	for i := range scores {
		if !stays[i] {
			scores[i] = -inf
		}
	}
	return scores
}
