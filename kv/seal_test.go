package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// search takes beams over a cache as a beam search does: each step every beam gets new tokens, then
// some beams are forked and the others closed.
type search struct {
	*ledger
	beams []*Seq
	rng   *rand.Rand
}

func newSearch(l *ledger, prompt, beams int) *search {
	s := &search{ledger: l, rng: rand.New(rand.NewPCG(uint64(prompt), uint64(beams)))}
	first := l.seq()
	if prompt > 0 {
		l.grow(growth{first, prompt})
	}
	s.beams = []*Seq{first}
	for len(s.beams) < beams {
		s.beams = append(s.beams, l.fork(first))
	}
	return s
}

// works returns n new tokens for each beam.
func (s *search) works(n int) (works []growth) {
	for _, b := range s.beams {
		works = append(works, growth{b, n})
	}
	return works
}

// reorder replaces beam i by a fork of beam parents[i].
func (s *search) reorder(parents []int) {
	var next []*Seq
	for _, p := range parents {
		next = append(next, s.fork(s.beams[p]))
	}
	for _, b := range s.beams {
		s.closeSeq(b)
	}
	s.beams = next
}

// drawn returns parents such that two beams or more survive, in other places.
func (s *search) drawn() []int {
	parents := make([]int, len(s.beams))
	for i := range parents {
		parents[i] = s.rng.IntN(len(s.beams))
	}
	parents[0], parents[1] = len(s.beams)-1, 0
	return parents
}

// all returns parents of which one takes all.
func (s *search) all(parent int) []int {
	parents := make([]int, len(s.beams))
	for i := range parents {
		parents[i] = parent
	}
	return parents
}

func TestReorderingBeamsMovesNoRow(t *testing.T) {
	const layers, slots = 5, 2
	for _, beams := range []int{2, 4, 16} {
		for _, prompt := range []int{0, 255, 256, 257, 1000} {
			t.Run(fmt.Sprintf("%d beams, prompt of %d", beams, prompt), func(t *testing.T) {
				o := uniform(Offloaded, layers, 1400)
				o.ForcedCopies, o.Slots = true, slots
				l := newLedger(t, ownCPU(t, 0), o)
				defer l.close()
				s := newSearch(l, prompt, beams)
				l.grow(s.works(1)...)
				for range 8 {
					l.pool.drain()
					before := l.pool.Stats()
					s.reorder(s.drawn())
					if diff := cmp.Diff(l.pool.Stats(), before); diff != "" {
						t.Fatalf("a reorder moved something (-got +want):\n%s", diff)
					}
					high := int64(s.beams[0].tree.high)
					got := moved(l, s.works(1)...)
					after := int64(s.beams[0].tree.high)
					// One fetch of a layer serves all beams. Of the two layers of the next step
					// that are fetched ahead the rows are those that this one has made.
					most := (layers-slots-slots)*high*rowBytes + 2*slots*max(high, after)*rowBytes
					if got.Stored != int64(layers*beams*rowBytes) || got.Fetches > layers || got.Fetched > most {
						t.Fatalf("%d beams on %d cells: %+v; want %d bytes stored, at most %d fetches and %d bytes fetched",
							beams, high, got, layers*beams*rowBytes, layers, most)
					}
					l.check()
				}
				if got := l.pool.Stats().MovedBytes; got != 0 {
					t.Errorf("%d bytes moved between cells before a block was shared", got)
				}
			})
		}
	}
}

func TestWhatAllBeamsShareIsSealedAndKeepsItsRows(t *testing.T) {
	for _, place := range []struct {
		policy   Policy
		copies   bool
		resident int
	}{{Dynamic, false, 0}, {Static, false, 0}, {Offloaded, false, 0}, {Offloaded, true, 1}, {OffloadedStatic, true, 0}} {
		t.Run(fmt.Sprintf("%v, copies %v, %d resident", place.policy, place.copies, place.resident), func(t *testing.T) {
			o := uniform(place.policy, 4, 1500)
			o.ForcedCopies, o.ResidentLayers = place.copies, place.resident
			l := newLedger(t, ownCPU(t, 0), o)
			defer l.close()
			s := newSearch(l, 100, 3)
			tree := s.beams[0].tree
			for tokens := 100; tokens < 900; tokens += 20 {
				l.grow(s.works(20)...)
				s.reorder(s.all(2)) // its rows lie behind those of the others
				if tree.sealed > tokens {
					t.Fatalf("%d cells are sealed of %d tokens", tree.sealed, tokens)
				}
				l.check()
			}
			if tree.sealed != 768 || l.pool.Stats().MovedBytes == 0 {
				t.Errorf("%d cells are sealed, %d bytes were moved; want 3 blocks, moved", tree.sealed, l.pool.Stats().MovedBytes)
			}
			// The rows that were shared are one run now, and the end of the cells is near.
			if high := tree.high; high > 900+3*20+Block {
				t.Errorf("cells up to %d are held of %d tokens", high, s.beams[0].Len())
			}
			l.truncate(s.beams[1], 300) // into a sealed block: it is open again
			if tree.sealed != Block {
				t.Errorf("%d cells are sealed after truncation to 300; want %d", tree.sealed, Block)
			}
			l.check()
			l.grow(growth{s.beams[1], 30}, growth{s.beams[0], 30})
			l.check()
			for _, b := range s.beams[1:] {
				l.closeSeq(b)
			}
			l.grow(growth{s.beams[0], 1})
			if want := s.beams[0].Len() / Block * Block; tree.sealed != want {
				t.Errorf("%d cells of the last sequence are sealed; want %d", tree.sealed, want)
			}
			l.check()
		})
	}
}

// The order of cells is that of sums: so every policy must seal and move alike.
func TestSealingAndMovingChangeNoBit(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	beams := func(r *rig) {
		seqs := []*Seq{r.pool.NewSeq()}
		r.grow(growth{seqs[0], 200})
		seqs = append(seqs, forkOf(r.t, seqs[0]), forkOf(r.t, seqs[0]))
		for i := range 12 {
			r.grow(growth{seqs[0], 8}, growth{seqs[1], 8}, growth{seqs[2], 8})
			winner := seqs[2-i%2]
			next := []*Seq{forkOf(r.t, winner), forkOf(r.t, winner), forkOf(r.t, winner)}
			for _, s := range seqs {
				if err := s.Close(); err != nil {
					r.t.Fatal(err)
				}
			}
			seqs = next
		}
		r.grow(growth{seqs[0], 1}, growth{seqs[1], 1})
	}
	for _, typ := range []ggml.Type{ggml.F32, ggml.F16, ggml.Q8_0} {
		want, _ := played(t, onCPU(t), rigOptions(Static, 3, typ), beams)
		finite(t, want)
		for _, s := range []setting{{Dynamic, typ, 3, 0}, {Offloaded, typ, 3, 0}, {Offloaded, typ, 3, 1}, {OffloadedStatic, typ, 3, 0}} {
			for _, copies := range []bool{false, true} {
				got, stats := played(t, onCPU(t), s.options(copies), beams)
				if i := differ(got, want); i >= 0 || len(got) != len(want) {
					t.Errorf("%v, copies %v: step %d differs from static's", s, copies, i)
				}
				if stats.MovedBytes == 0 {
					t.Errorf("%v, copies %v: no row was moved", s, copies)
				}
			}
		}
	}
}

func TestSequencesPartAndJoinAnywhere(t *testing.T) {
	b := onCPU(t)
	rapid.Check(t, func(t *rapid.T) {
		o := uniform(rapid.SampledFrom([]Policy{Dynamic, Offloaded}).Draw(t, "policy"), 2, 1200)
		o.ForcedCopies, o.Slots = rapid.Bool().Draw(t, "copies"), 1
		l := newLedger(t, b, o)
		defer l.close()
		s := newSearch(l, rapid.IntRange(0, 300).Draw(t, "prompt"), 3)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			for i, b := range s.beams {
				if n := rapid.IntRange(0, 60).Draw(t, fmt.Sprint("beam ", i)); n > 0 {
					l.grow(growth{b, n})
				}
			}
			if rapid.Bool().Draw(t, "join") {
				s.reorder(s.all(rapid.IntRange(0, 2).Draw(t, "winner")))
			}
			if n := s.beams[0].Len(); rapid.IntRange(0, 5).Draw(t, "truncate") == 0 {
				l.truncate(s.beams[0], rapid.IntRange(n/2, n).Draw(t, "to"))
			}
			l.check()
		}
	})
}

func TestRowsThatAreLostWhileMovingAreAnErrorForTheirTreeAlone(t *testing.T) {
	o := uniform(Offloaded, 4, 700)
	o.ForcedCopies = true
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	other := l.seq()
	l.grow(growth{other, 5})
	s := newSearch(l, 0, 2)
	for s.beams[0].Len() < Block {
		l.grow(s.works(50)...)
		s.reorder(s.all(1))
	}
	l.pool.drain()
	down.set(2) // the first layer is moved, the second is not
	err := l.step(t.Context(), 5, s.works(1)...)
	down.set(0)
	if !errors.Is(err, errDown) || l.pool.Stats().MovedBytes == 0 {
		t.Fatalf("%v after %d bytes had moved; want %v after some", err, l.pool.Stats().MovedBytes, errDown)
	}
	if err := l.step(t.Context(), 5, s.works(1)...); !errors.Is(err, errDown) {
		t.Errorf("the next step: %v; want the error again", err)
	}
	for _, b := range s.beams {
		l.closeSeq(b)
	}
	l.grow(growth{other, 300})
	l.check()
}
