package exec

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/kv"
)

// Sequences that join and leave build no graph of a shape that there has been before, whoever is in the
// step, and compute what they compute alone.
func TestJoiningAndLeavingBuildsNoGraphOfAShapeThatThereHasBeen(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		for _, policy := range []kv.Policy{kv.Auto, kv.Static, kv.Offloaded} {
			t.Run(fmt.Sprintf("hybrid %v/%v", hybrid, policy), func(t *testing.T) {
				set := setting{devices: cpu, hybrid: hybrid, Options: Options{Cache: kv.Options{Policy: policy, Cells: 256, Trees: 4, ForcedCopies: policy == kv.Offloaded}}}
				r := set.mustOpen(t)
				rng := rand.New(rand.NewPCG(1, 2))
				least, most := 0, 3
				if hybrid && policy != kv.Static {
					least = 1 // with the last sequence the states go, and come back with fewer places
				}
				type one struct {
					seq   *kv.Seq
					first int
				}
				var all []one
				numbers := 0
				step := func(joins bool) {
					t.Helper()
					if len(all) == 0 && !joins {
						return
					}
					var batch []kv.Work
					for _, o := range all {
						batch = append(batch, kv.Work{Seq: o.seq, Tokens: text(o.first+o.seq.Len(), 1), Logits: 1})
					}
					if joins {
						numbers++
						o := one{r.Pool().NewSeq(), numbers}
						all = append(all, o)
						batch = append(batch, kv.Work{Seq: o.seq, Tokens: text(o.first, 5), Logits: 1})
					}
					if _, err := r.Forward(t.Context(), batch, nil); err != nil {
						t.Fatal(err)
					}
				}
				leave := func() {
					i := rng.IntN(len(all))
					if err := all[i].seq.Close(); err != nil {
						t.Fatal(err)
					}
					all = slices.Delete(all, i, i+1)
				}
				for range 2 { // all shapes, of which the largest has others built again
					for len(all) < most {
						step(true)
						step(false)
						step(false)
					}
					for len(all) > least {
						leave()
					}
					step(false)
				}
				graphs := func() int64 { return r.Stats()[0].Counts.Graphs }
				before := graphs()
				for range 100 {
					switch {
					case len(all) == least || len(all) < most && rng.IntN(2) == 0:
						step(true)
					default:
						leave()
					}
					for range rng.IntN(4) {
						if !slices.ContainsFunc(all, func(o one) bool { return o.seq.Len() == 250 }) {
							step(false)
						}
					}
				}
				if built := graphs() - before; built != 0 {
					t.Errorf("%d graphs are built, want none", built)
				}
				for _, o := range all {
					fresh := r.Pool().NewSeq()
					forward(t, r, fresh, text(o.first, 5))
					for fresh.Len() < o.seq.Len() {
						forward(t, r, fresh, text(o.first+fresh.Len(), 1))
					}
					want := forward(t, r, fresh, text(0, 1))
					if got := forward(t, r, o.seq, text(0, 1)); !slices.Equal(got, want) {
						t.Error("a sequence among others that came and went has other logits than one alone")
					}
					if err := fresh.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// Where rows are in place, a graph serves any trees that have its tokens together: however many trees there
// are, and whatever each has, the layers have the graphs of the step's number of tokens.
func TestAGraphInPlaceServesAnyTreesThatHaveItsTokens(t *testing.T) {
	set := setting{devices: cpu, Options: Options{Cache: kv.Options{Policy: kv.Static, Cells: 256, Trees: 6}}}
	r := set.mustOpen(t)
	var seqs []*kv.Seq
	for range 6 {
		seqs = append(seqs, r.Pool().NewSeq())
	}
	graphs := func() int64 { return r.Stats()[0].Counts.Graphs }
	var before int64
	for round, division := range [][]int{{6}, {1, 1, 1, 1, 1, 1}, {3, 3}, {1, 5}, {0, 2, 0, 4}, {4, 1, 1}} {
		var batch []kv.Work
		for i, n := range division {
			if n > 0 {
				batch = append(batch, kv.Work{Seq: seqs[i], Tokens: text(100*i+seqs[i].Len(), n)})
			}
		}
		batch[0].Logits = 1
		if _, err := r.Forward(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
		if n := graphs(); round == 0 {
			before = n
		} else if built := n - before; built != 0 {
			t.Errorf("trees with %d tokens: %d graphs are built", division, built)
		}
	}
	for i, s := range seqs {
		fresh := r.Pool().NewSeq()
		if n := s.Len(); n > 0 {
			forward(t, r, fresh, text(100*i, n))
		}
		if got, want := forward(t, r, s, text(7, 1)), forward(t, r, fresh, text(7, 1)); !slices.Equal(got, want) {
			t.Errorf("sequence %d has other logits than one alone", i)
		}
		if err := fresh.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
