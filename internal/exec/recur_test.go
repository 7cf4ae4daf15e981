package exec

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/kv"
)

// The lists of places of all chunks are written before the first is computed: none may lie where another
// one does, or behind the end of the inputs.
func TestListsOfPlacesDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owner, tokens := map[int]group{}, 0
		for range rapid.IntRange(1, 4).Draw(t, "chunks") {
			first, rs := tokens, []kv.Recurrence(nil)
			for range rapid.IntRange(1, 6).Draw(t, "sequences") {
				n := rapid.IntRange(1, 4).Draw(t, "tokens")
				rs = append(rs, kv.Recurrence{First: tokens, N: n, To: make([]int, rapid.IntRange(1, n).Draw(t, "states"))})
				tokens += n
			}
			at := 0
			for _, c := range groupsOf(rs, first, nil) {
				for _, r := range rs[at : at+c.seqs] {
					if r.N != c.n || len(r.To) != c.keep {
						t.Fatalf("%+v is in a group of %d tokens each that keep %d states", r, c.n, c.keep)
					}
				}
				at += c.seqs
				if c.from != listed {
					continue
				}
				for i := c.input; i < c.input+c.keep*c.listLength(); i++ {
					if other, taken := owner[i]; taken {
						t.Fatalf("element %d is of %+v and of %+v", i, other, c)
					}
					owner[i] = c
				}
			}
			if at != len(rs) {
				t.Fatalf("groups have %d of %d sequences", at, len(rs))
			}
		}
		for i, c := range owner {
			if i >= tokens*kv.InputAlign {
				t.Fatalf("element %d, of %+v, is behind the inputs of %d tokens", i, c, tokens)
			}
		}
	})
}
