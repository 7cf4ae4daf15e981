package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// folder takes sequences through steps whose recurrent layers fold each token into the state, and knows
// what the states must be.
type folder struct {
	t      rapid.TB
	pool   *Pool
	last   int32
	tokens map[*Seq][]int32
	during func(layer int) // called in the loop's body
}

// foldedValues is how many values the states of a folder's layers have: fewer than a place.
const foldedValues = 70

// hybrid returns options for layers of which every second one is recurrent.
func hybrid(policy Policy, layers, cells int) Options {
	o := uniform(policy, layers, cells)
	for l := 0; l < layers; l += 2 {
		o.Layers[l] = Shape{State: foldedValues}
	}
	return o
}

func newFolder(t rapid.TB, b *ggml.Backend, o Options) *folder {
	t.Helper()
	p, err := NewPool(o, b)
	if err != nil {
		t.Fatal(err)
	}
	return &folder{t: t, pool: p, tokens: map[*Seq][]int32{}}
}

func (f *folder) seq() *Seq { return f.pool.NewSeq() }

func (f *folder) fork(s *Seq) *Seq {
	fork := forkOf(f.t, s)
	f.tokens[fork] = slices.Clone(f.tokens[s])
	return fork
}

func (f *folder) closeSeq(s *Seq) {
	f.t.Helper()
	if err := s.Close(); err != nil {
		f.t.Fatal(err)
	}
	delete(f.tokens, s)
}

// fold is the state after one more token.
func fold(state []float32, layer int, token int32) {
	for i := range state {
		state[i] = state[i]/2 + float32(int(token)%977*(layer+1)+i)
	}
}

// step takes new tokens of each sequence through all layers.
func (f *folder) step(works ...Work) error { return f.stepIn(context.Background(), works...) }

// stepIn is step, which a context may end.
func (f *folder) stepIn(ctx context.Context, works ...Work) (err error) {
	for i, w := range works {
		w.Tokens = slices.Clone(w.Tokens)
		for j := range w.Tokens {
			f.last++
			w.Tokens[j] = f.last
		}
		works[i] = w
	}
	s, err := f.pool.Begin(ctx, works)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for layer, err := range s.Layers(ctx) {
		if err != nil {
			return err
		}
		if f.during != nil {
			f.during(layer.Index)
		}
		for i := range s.Chunks() {
			for _, p := range layer.Parts(i, nil) {
				if err := layer.Acquire(ctx, p.Tree); err != nil {
					return err
				}
			}
			if at := layer.States().T; at != nil {
				for _, r := range s.Recurrences(i) {
					foldAll(at, layer.Index, r, s.Tokens()[r.First:][:r.N])
				}
			}
		}
	}
	if err := s.Commit(); err != nil {
		return err
	}
	for _, w := range works {
		f.tokens[w.Seq] = append(slices.Clone(f.tokens[w.Seq]), w.Tokens...)
	}
	return nil
}

// foldAll is what a graph does: it reads one state and writes others.
func foldAll(at *ggml.Tensor, layer int, r Recurrence, tokens []int32) {
	state := make([]float32, foldedValues)
	ggml.GetSlice(at, state, int64(r.From)*at.Nb(1))
	for i, token := range tokens {
		fold(state, layer, token)
		if back := len(tokens) - 1 - i; back < len(r.To) {
			ggml.SetSlice(at, state, int64(r.To[back])*at.Nb(1))
		}
	}
}

// grow is step, with one new token or some of each sequence.
func (f *folder) grow(works ...growth) {
	f.t.Helper()
	if err := f.try(works...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) try(works ...growth) error {
	var batch []Work
	for _, w := range works {
		batch = append(batch, Work{Seq: w.seq, Tokens: make([]int32, w.n)})
	}
	return f.step(batch...)
}

// check compares the states of all sequences with what they must be.
func (f *folder) check(when string) {
	f.t.Helper()
	for s, tokens := range f.tokens {
		for l, shape := range f.pool.config.shapes {
			if shape.State == 0 || len(tokens) == 0 {
				continue
			}
			want, got := make([]float32, foldedValues), make([]float32, foldedValues)
			for _, token := range tokens {
				fold(want, l, token)
			}
			at := f.pool.states.memory[l].T
			ggml.GetSlice(at, got, int64(s.state)*at.Nb(1))
			if !slices.Equal(got, want) {
				f.t.Fatalf("%s, layer %d after %d tokens: state %v; want %v", when, l, len(tokens), got[:3], want[:3])
			}
		}
	}
}

func (f *folder) close() {
	f.t.Helper()
	if err := f.pool.Close(); err != nil {
		f.t.Error(err)
	}
	if s := f.pool.Stats(); s.StatesBytes != 0 || s.DeviceBytes != 0 {
		f.t.Errorf("%d bytes of states, %d on the device after Close", s.StatesBytes, s.DeviceBytes)
	}
}

// searchWith is a conversation whose sequence is searched with some beams for a while.
func searchWith(f *folder, beams int) (*Seq, error) {
	s := f.seq()
	all := []growth{{s, 20}}
	if err := f.try(all...); err != nil {
		return s, err
	}
	all[0].n = 1
	for range beams - 1 {
		all = append(all, growth{f.fork(s), 1})
	}
	defer func() {
		for _, w := range all[1:] {
			f.closeSeq(w.seq)
		}
	}()
	for range 3 {
		if err := f.try(all...); err != nil {
			return s, err
		}
	}
	return s, nil
}

// statesOf returns what so many states take in all layers of a pool.
func statesOf(p *Pool, places int) (bytes int64) {
	for _, s := range p.config.shapes {
		bytes += s.StateBytes() * int64(places)
	}
	return bytes
}

// A sequence has two states, and a step takes no memory after the first: neither with more sequences
// nor with drafted tokens, once there was one of the kind.
func TestStatesTakeMemoryInTheFirstStepAlone(t *testing.T) {
	for _, policy := range []Policy{Auto, Dynamic, Static, Offloaded, OffloadedStatic} {
		o := hybrid(policy, 5, 600)
		o.ForcedCopies = true
		f := newFolder(t, ownCPU(t, 0), o)
		allocations := 0
		f.pool.hooks.alloc = func() error { allocations++; return nil }
		first := func(what string, places int, step func()) {
			t.Helper()
			step()
			if got, want := f.pool.Stats().StatesBytes, statesOf(f.pool, places); got != want {
				t.Errorf("%v, %s: states take %d bytes; want %d", policy, what, got, want)
			}
			allocations = 0
			for range 3 {
				step()
			}
			if allocations != 0 {
				t.Errorf("%v, %s: %d allocations after the first step", policy, what, allocations)
			}
			f.check(what)
		}
		a := f.seq()
		first("a prompt", 2, func() { f.grow(growth{a, 10}) })
		first("a token", 2, func() { f.grow(growth{a, 1}) })
		first("drafted tokens", 5, func() {
			if err := f.step(Work{Seq: a, Tokens: make([]int32, 5), Drafts: 3}); err != nil {
				t.Fatal(err)
			}
		})
		b := f.fork(a)
		first("two sequences of a tree", 5, func() { f.grow(growth{a, 1}, growth{b, 1}) })
		c := f.fork(a)
		first("three", 6, func() { f.grow(growth{a, 1}, growth{b, 1}, growth{c, 1}) })
		f.close()
	}
}

// Under a policy that takes all memory at once, states are there with the first sequence, for as many as
// are planned for.
func TestStaticTakesTheStatesOfAllPlannedSequences(t *testing.T) {
	for _, policy := range []Policy{Static, OffloadedStatic} {
		o := hybrid(policy, 4, 300)
		o.Trees = 3
		f := newFolder(t, ownCPU(t, 0), o)
		for i := range 3 {
			f.grow(growth{f.seq(), 1})
			if got, want := f.pool.Stats().StatesBytes, statesOf(f.pool, 6); got != want {
				t.Errorf("%v: the states of sequence %d: %d bytes; want %d", policy, i, got, want)
			}
		}
		f.check("three sequences")
		f.close()
	}
}

// The memory of a search goes back a while after it, though its sequence goes on.
func TestPlacesGoBackWhenTheyAreNotNeeded(t *testing.T) {
	for _, policy := range []Policy{Auto, Dynamic, Offloaded} {
		f := newFolder(t, ownCPU(t, 0), hybrid(policy, 4, 600))
		s, err := searchWith(f, 6)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.pool.Stats().StatesBytes, statesOf(f.pool, 12); got != want {
			t.Errorf("%v: with 6 beams states take %d bytes; want %d", policy, got, want)
		}
		for range 2 * idleSteps {
			f.grow(growth{s, 1})
		}
		if got, want := f.pool.Stats().StatesBytes, statesOf(f.pool, 2); got != want {
			t.Errorf("%v: afterwards states take %d bytes; want %d", policy, got, want)
		}
		f.check("afterwards")
		f.closeSeq(s)
		if got := f.pool.Stats().StatesBytes; got != 0 {
			t.Errorf("%v: without a sequence states take %d bytes", policy, got)
		}
		f.close()
	}
}

// The bound of a device's memory counts states: under auto, layers that keep all rows leave for those of
// more sequences, and under other policies an error says what would be enough.
func TestStatesCountAgainstTheMemoryAllowed(t *testing.T) {
	const beams = 8
	for _, policy := range []Policy{Auto, Dynamic, Offloaded} {
		o := hybrid(policy, 6, 300)
		o.ForcedCopies = true
		all, err := o.Plan().Place()
		if err != nil {
			t.Fatal(err)
		}
		if policy == Offloaded {
			o.ResidentLayers = 1
			all, _ = o.Plan().Place()
		}
		more := statesOf(&Pool{config: config{shapes: o.Layers}}, 2*beams-2)
		o.Memory = []int64{all[0].DeviceBytes + more - 1}
		f := newFolder(t, ownCPU(t, 0), o)
		_, err = searchWith(f, beams)
		switch got := f.pool.Stats(); {
		case got.DeviceBytes > o.Memory[0]:
			t.Errorf("%v: %d bytes on the device; %d are allowed", policy, got.DeviceBytes, o.Memory[0])
		case policy == Auto && (err != nil || got.Demotions == 0):
			t.Errorf("%v: %v, and %d layers have left; want some to leave", policy, err, got.Demotions)
		case policy != Auto && !errors.Is(err, ErrNoMemory):
			t.Errorf("%v: %v; want ErrNoMemory", policy, err)
		}
		f.check("a search")
		f.close()
	}
}

// A step needs one state more for each sequence, and takes the other one if there is room: what would do
// is tried before the step fails.
func TestAStepThatFitsIsTakenThoughTheNextMayNot(t *testing.T) {
	o := hybrid(Dynamic, 4, 300)
	all, err := o.Plan().Place()
	if err != nil {
		t.Fatal(err)
	}
	o.Memory = []int64{all[0].DeviceBytes + statesOf(&Pool{config: config{shapes: o.Layers}}, 1)}
	f := newFolder(t, ownCPU(t, 0), o)
	a := f.seq()
	f.grow(growth{a, 5})
	b := f.fork(a)
	f.grow(growth{a, 1}, growth{b, 1}) // a state that both share, and two new ones: 3 of the 4 that two steps need
	f.check("two sequences")
	if err := f.try(growth{a, 1}, growth{b, 1}); !errors.Is(err, ErrNoMemory) {
		t.Errorf("a state too many: %v; want ErrNoMemory", err)
	}
	f.check("after a step that failed")
	f.closeSeq(b)
	f.grow(growth{a, 1})
	f.check("one sequence")
	f.close()
}

// Whichever allocation is refused, no state is lost, and what has failed works when there is memory.
func TestRefusedAllocationsLoseNoState(t *testing.T) {
	for _, policy := range []Policy{Auto, Dynamic, Static, Offloaded} {
		for fails := 0; ; fails++ {
			o := hybrid(policy, 6, 300)
			o.ForcedCopies = true
			f := newFolder(t, ownCPU(t, 0), o)
			n, refused := 0, false
			f.pool.hooks.alloc = func() error {
				if n++; n == fails+1 && !refused {
					refused = true
					return fmt.Errorf("%w: refused", ggml.ErrNoMemory)
				}
				return nil
			}
			grow := func(works ...growth) {
				err := f.try(works...)
				if errors.Is(err, ErrNoMemory) {
					f.check("after an error")
					err = f.try(works...)
				}
				if err != nil {
					t.Fatalf("%v, allocation %d: %v", policy, fails, err)
				}
				f.check("after a step")
			}
			a := f.seq()
			grow(growth{a, 10})
			b := f.fork(a)
			grow(growth{a, 1}, growth{b, 1})
			c := f.fork(b)
			grow(growth{a, 1}, growth{b, 1}, growth{c, 2})
			for range 2 * idleSteps {
				f.grow(growth{a, 1})
			}
			f.closeSeq(b)
			f.closeSeq(c)
			for range 2 * idleSteps {
				grow(growth{a, 1})
			}
			f.close()
			if !refused {
				break
			}
		}
	}
}
