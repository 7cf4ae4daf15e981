package ebb_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// floatError is how far logits may be apart between splits of a prompt, batches and thread counts,
// as a share of the largest: with f32 K/V on the CPU kernels sum in another order.
const floatError = 1e-4

// near reports rows that differ by more than float error.
func near(t *testing.T, got, want [][]float32) error {
	t.Helper()
	scale := 0.0
	for _, row := range want {
		for _, v := range row {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	if d := worst(t, got, want); d > floatError*scale {
		return fmt.Errorf("logits differ by %g; want at most %g of %g", d, floatError, scale)
	}
	return nil
}

// reference returns the logits of all tokens of a prompt, computed at once.
func reference(t *testing.T, tokens []int32) [][]float32 {
	t.Helper()
	e := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32"})
	s := e.NewSeq()
	defer closeSeq(t, s)
	return forward(t, e, s, tokens, len(tokens))
}

func TestAnyChunkSizeGivesTheSameLogits(t *testing.T) {
	requireDevice(t, "cpu")
	tokens := prompt(1, 300)
	want := reference(t, tokens)
	for _, chunk := range []int{1, 7, 256} {
		for _, policy := range policies {
			t.Run(fmt.Sprint(chunk, " ", policy), func(t *testing.T) {
				e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", Cache: policy, ChunkTokens: chunk})
				s := e.NewSeq()
				defer closeSeq(t, s)
				if err := near(t, forward(t, e, s, tokens, len(tokens)), want); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAnySplitOfAPromptGivesTheSameLogits(t *testing.T) {
	requireDevice(t, "cpu")
	tokens := prompt(2, 300)
	want := reference(t, tokens)
	e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", Cache: kv.Offloaded})
	for _, sizes := range [][]int{{300}, {1, 299}, {255, 45}, {256, 44}, {257, 43}, {100, 1, 1, 198}} {
		s := e.NewSeq()
		var got [][]float32
		for _, n := range sizes {
			got = append(got, forward(t, e, s, tokens[len(got):len(got)+n], n)...)
		}
		if err := near(t, got, want); err != nil {
			t.Errorf("split %v: %v", sizes, err)
		}
		closeSeq(t, s)
	}
}

func TestPassesOfALongPromptGiveTheSameLogits(t *testing.T) {
	requireDevice(t, "cpu")
	tokens := prompt(3, 300)
	want := reference(t, tokens)
	for _, policy := range policies {
		e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", Cache: policy, StepTokens: 128})
		s := e.NewSeq()
		if err := near(t, forward(t, e, s, tokens, 200), want[100:]); err != nil {
			t.Errorf("%v: %v", policy, err)
		}
		if got := e.Stats().Cache.Steps; got != 3 {
			t.Errorf("%v: %d passes; want 3", policy, got)
		}
		closeSeq(t, s)
	}
}

func TestABatchEqualsItsMembers(t *testing.T) {
	requireDevice(t, "cpu")
	for _, p := range cpuPlaces {
		for _, policy := range policies {
			t.Run(p.name+"/"+policy.String(), func(t *testing.T) {
				e := p.open(t, modelPath("tiny-mha"), ebb.Options{KVType: "f32", Cache: policy, ChunkTokens: 32})
				var batch []kv.Work
				for i, n := range []int{3, 70, 1, 40} {
					s := e.NewSeq()
					defer closeSeq(t, s)
					batch = append(batch, kv.Work{Seq: s, Tokens: prompt(i, n), Logits: min(n, 2)})
				}
				for round := range 3 {
					together, err := e.Forward(t.Context(), batch)
					if err != nil {
						t.Fatal(err)
					}
					for i, w := range batch {
						alone := e.NewSeq()
						all := w.Seq.Tokens()
						rows := forward(t, e, alone, all, len(together[i]))
						if err := near(t, together[i], rows); err != nil {
							t.Errorf("round %d, sequence %d: %v", round, i, err)
						}
						closeSeq(t, alone)
						batch[i].Tokens, batch[i].Logits = prompt(100*round+i, 1), 1
					}
				}
			})
		}
	}
}

func TestAnyThreadCountGivesTheSameLogits(t *testing.T) {
	requireDevice(t, "cpu")
	tokens := prompt(4, 100)
	want := reference(t, tokens)
	for _, threads := range []int{2, 3} {
		e := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", Threads: threads})
		s := e.NewSeq()
		if err := near(t, forward(t, e, s, tokens, len(tokens)), want); err != nil {
			t.Errorf("%d threads: %v", threads, err)
		}
		closeSeq(t, s)
	}
}
