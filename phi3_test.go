package ebb_test

import (
	"fmt"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// With a window of 8 tokens in the only layer, a token depends on itself and the 7 before it, as in
// Hugging Face, and on no other, wherever the text begins: RoPE tells distances alone.
func TestPhi3WithAWindowSeesAsManyTokensAsHuggingFace(t *testing.T) {
	requireDevice(t, "cpu")
	const window = 8
	tokens := prompt(5, 120)
	for _, p := range cpuPlaces {
		for _, policy := range []kv.Policy{kv.Static, kv.Offloaded} {
			t.Run(fmt.Sprint(p.name, "/", policy), func(t *testing.T) {
				e := p.open(t, goldenPath(t, "tiny-phi3"), ebb.Options{Cache: policy, KVType: "f32"})
				last := func(n int) [][]float32 {
					s := e.NewSeq()
					defer closeSeq(t, s)
					return forward(t, e, s, tokens[len(tokens)-n:], 1)
				}
				all := last(len(tokens))
				if err := near(t, last(window), all); err != nil {
					t.Errorf("the last %d tokens: %v", window, err)
				}
				if err := near(t, last(window-1), all); err == nil {
					t.Errorf("the last %d tokens give what all %d give", window-1, len(tokens))
				}
			})
		}
	}
}
