package ebb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
)

// Prompt lookup on recurrent layers, whose states are kept for each guess: 1 to 8 guesses of which
// some are right, and the text without any.
func TestLookupOnHybridsGivesTheGreedyIDs(t *testing.T) {
	for model, right := range map[string]bool{"tiny-qwen35": false, "tiny-qwen35-drafts": true} {
		e := cpuCopies.open(t, goldenPath(t, model), ebb.Options{KVType: "f32"})
		c := golden[goldenGreedy](t, "greedy_tiny-qwen35")[0]
		if right { // its reference is the text without guesses
			c.IDs, _ = greedy(t, e, c.Prompt, len(c.IDs))
		}
		for n := 1; n <= 8; n++ {
			t.Run(fmt.Sprintf("%s/%d", model, n), func(t *testing.T) {
				before := e.Stats().Cache.Steps
				ids, err := generateIDs(t.Context(), e, newSeq(t, e), c.Prompt, ebb.GenerationConfig{
					MaxNewTokens: len(c.IDs), EOSTokenID: endless, PromptLookupNumTokens: n, MaxMatchingNGramSize: 1,
				})
				if err != nil || !slices.Equal(ids, c.IDs) {
					t.Fatalf("ids %v, %v; want %v", ids, err, c.IDs)
				}
				if steps := e.Stats().Cache.Steps - before; right && steps >= len(ids) {
					t.Errorf("%d steps for %d tokens: no guess was right", steps, len(ids))
				}
			})
		}
	}
}
