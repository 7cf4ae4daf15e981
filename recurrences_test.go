package ebb_test

import (
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// The layers of each family carry states of their own kind. Whatever of a text goes into a step, beside
// whom, and with which guesses behind it, the logits are the reference's.
func TestStatesOfEveryFamilyGoFromStepToStep(t *testing.T) {
	for _, model := range []string{"tiny-qwen3next", "tiny-lfm2moe", "tiny-granitehybrid", "tiny-nemotron-latent"} {
		t.Run(model, func(t *testing.T) {
			e := cpuCopies.openShort(t, goldenPath(t, model), ebb.Options{Cache: kv.Offloaded, KVType: "f32", ChunkTokens: 8})
			cases := golden[goldenLogits](t, "logits_"+model)
			c := cases[len(cases)-1] // the longest, with the logits of its last two tokens
			check := func(what string, got [][]float32) {
				t.Helper()
				if d := worst(t, got, c.Logits); d > cpuCopies.toleranceOf(model) {
					t.Errorf("%s: logits differ by %g; want at most %g", what, d, cpuCopies.toleranceOf(model))
				}
			}
			single, guessed, one, two := e.NewSeq(), e.NewSeq(), e.NewSeq(), e.NewSeq()
			for _, s := range []*kv.Seq{single, guessed, one, two} {
				defer closeSeq(t, s)
			}

			n := len(c.Prompt)
			var got [][]float32
			for i := range c.Prompt {
				got = append(got, forward(t, e, single, c.Prompt[i:i+1], 1)...)
			}
			check("token by token", got[n-2:])

			// Two sequences with equally many tokens, and one with fewer: its own first part.
			forward(t, e, one, c.Prompt[:9], 1)
			forward(t, e, two, c.Prompt[:9], 1)
			other, err := one.Fork()
			if err != nil {
				t.Fatal(err)
			}
			defer closeSeq(t, other)
			out, err := e.Forward(t.Context(), []kv.Work{
				{Seq: one, Tokens: c.Prompt[9:], Logits: 2}, {Seq: two, Tokens: c.Prompt[9:], Logits: 2}, {Seq: other, Tokens: c.Prompt[9:12], Logits: 1},
			})
			if err != nil {
				t.Fatal(err)
			}
			check("in a batch", out[0])
			check("second in a batch", out[1])
			out, err = e.Forward(t.Context(), []kv.Work{{Seq: other, Tokens: c.Prompt[12:], Logits: 2}})
			if err != nil {
				t.Fatal(err)
			}
			check("after a batch", out[0])

			// Of three guesses the first is right.
			forward(t, e, guessed, c.Prompt[:n-3], 1)
			guesses := []int32{c.Prompt[n-3], c.Prompt[n-2], 7, 8}
			out, err = e.Forward(t.Context(), []kv.Work{{Seq: guessed, Tokens: guesses, Logits: 4, Drafts: 3}})
			if err != nil {
				t.Fatal(err)
			}
			if err := guessed.Truncate(n - 1); err != nil || len(guessed.Pending()) > 0 {
				t.Fatalf("%v, and %d tokens are to be computed again; want none", err, len(guessed.Pending()))
			}
			check("after guesses", append(out[0][1:2], forward(t, e, guessed, c.Prompt[n-1:], 1)...))
		})
	}
}
