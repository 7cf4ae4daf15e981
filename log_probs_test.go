package ebb_test

import (
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/sample"
)

// A prompt's log-probabilities are those of the logits that Prefill returns, as ebb run --logits prints
// them, also where the prompt goes in passes beside a text that grows.
func TestLogProbsOfAPromptAreThoseOfItsLogits(t *testing.T) {
	e := cpuPlaces[0].open(t, modelPath("tiny-gqa"), ebb.Options{KVType: "f32", Context: 512})
	prompt := make([]int32, 200)
	for i := range prompt {
		prompt[i] = int32(1 + (i*i+7*i)%250)
	}
	seq := e.NewSeq()
	rows, err := e.Prefill(t.Context(), seq, prompt, len(prompt))
	if err != nil {
		t.Fatal(err)
	}
	rows = cloneRows(rows)
	if err := seq.Close(); err != nil {
		t.Fatal(err)
	}
	b := e.NewBatch(ebb.BatchOptions{})
	other, err := b.Add(ebb.Request{Prompt: prompt[:3], Config: ebb.GenerationConfig{MaxNewTokens: 60, EOSTokenID: endless}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, err := b.Add(ebb.Request{
		Prompt: prompt, PromptLogProbs: true,
		Config: ebb.GenerationConfig{MaxNewTokens: 1, OutputScores: true, TopLogProbs: 4, RawLogProbs: true, RepetitionPenalty: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	passes := 0
	for left := g.PromptLeft(); !g.Done(); {
		if _, err := b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := g.PromptLeft(); now < left {
			left, passes = now, passes+1
		}
	}
	if err := g.Err(); err != nil || passes < 2 {
		t.Fatalf("the prompt took %d passes, and the error is %v; want several and none", passes, err)
	}
	tokens := g.PromptTokens()
	if len(tokens) != len(prompt) {
		t.Fatalf("%d tokens, want %d", len(tokens), len(prompt))
	}
	tokens = slices.Concat(tokens[1:], g.Completions()[0].Tokens)
	for i, token := range tokens {
		want, err := sample.Candidates(rows[i], 4)
		if err != nil {
			t.Fatal(err)
		}
		norm, err := sample.LogSumExp(rows[i])
		if err != nil {
			t.Fatal(err)
		}
		if i+1 < len(prompt) && token.ID != prompt[i+1] {
			t.Errorf("token %d is %d, want %d", i+1, token.ID, prompt[i+1])
		}
		if d := math.Abs(token.LogProb - (float64(rows[i][token.ID]) - norm)); d > 1e-4 { // other chunks, so float error
			t.Errorf("token %d: log-probability %v differs by %v from that of its logits", i+1, token.LogProb, d)
		}
		for j, c := range token.Top {
			if math.Abs(c.LogProb-want[j].LogProb) > 1e-4 {
				t.Errorf("token %d: candidate %d is %+v, want %+v", i+1, j, c, want[j])
			}
		}
		if len(token.Top) != len(want) {
			t.Errorf("token %d: %d candidates, want %d", i+1, len(token.Top), len(want))
		}
	}
	if other.PromptTokens() != nil {
		t.Error("a request that has not asked for log-probabilities of its prompt has some")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// cloneRows returns a copy of rows of logits.
func cloneRows(rows [][]float32) (out [][]float32) {
	for _, row := range rows {
		out = append(out, slices.Clone(row))
	}
	return out
}
