package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier/disk"
)

// stateful takes sequences through a model of which some layers are recurrent. A state is numbers that all
// tokens so far have gone into, so that it is known of any tokens; rows are left as they are.
type stateful struct {
	t       *testing.T
	pool    *Pool
	notices []string
	during  func(layer *Layer) // called before a layer is computed
}

func newStateful(t *testing.T, o Options) *stateful { return newStatefulOn(t, ownCPU(t, 0), o) }

func newStatefulOn(t *testing.T, b *ggml.Backend, o Options) *stateful {
	h := &stateful{t: t}
	rows := o.Layers[0]
	o.Layers = []Shape{{State: 70}, rows, {State: 3}, {State: 130}, rows}
	o.Notify = func(s string) { h.notices = append(h.notices, s) }
	p, err := NewPool(o, b)
	if err != nil {
		t.Fatal(err)
	}
	h.pool = p
	t.Cleanup(func() {
		for s := range p.trees {
			for _, seq := range slices.Clone(s.seqs) {
				if err := seq.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if s := p.states; s != nil && s.holders != nil && s.free() != len(s.holders) {
			t.Errorf("places of states are held by nobody: %v", s.holders)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// after changes a state of a layer as some tokens do.
func after(layer int, state []byte, tokens ...int32) []byte {
	state = bytes.Clone(state)
	for _, id := range tokens {
		for at := 0; at < len(state); at += 4 {
			x := binary.LittleEndian.Uint32(state[at:])
			binary.LittleEndian.PutUint32(state[at:], x*0x9e3779b1+uint32(id)*31+uint32(layer*7+at))
		}
	}
	return state
}

// stateOf returns the state of a layer after tokens.
func (h *stateful) stateOf(layer int, tokens []int32) []byte {
	return after(layer, make([]byte, 4*h.pool.config.shapes[layer].State), tokens...)
}

// step takes the next tokens of sequences through a step, after those that are pending.
func (h *stateful) step(ctx context.Context, works ...Work) error {
	for i := range works {
		works[i].Tokens = append(works[i].Seq.Pending(), works[i].Tokens...)
	}
	s, err := h.pool.Begin(ctx, works)
	if err != nil {
		return err
	}
	defer s.Close()
	for layer, err := range s.Layers(ctx) {
		if err != nil {
			return err
		}
		if h.during != nil {
			h.during(layer)
		}
		states := layer.States()
		if states.T == nil {
			continue
		}
		for c := range s.Chunks() {
			for _, r := range s.Recurrences(c) {
				state := make([]byte, 4*h.pool.config.shapes[layer.Index].State)
				states.T.Get(state, int64(r.From)*states.T.Nb(1))
				for i, id := range s.Tokens()[r.First:][:r.N] {
					state = after(layer.Index, state, id)
					if back := r.N - 1 - i; back < len(r.To) {
						states.T.Set(state, int64(r.To[back])*states.T.Nb(1))
					}
				}
			}
		}
	}
	return s.Commit()
}

func (h *stateful) grow(works ...growth) {
	h.t.Helper()
	var batch []Work
	for _, w := range works {
		batch = append(batch, Work{Seq: w.seq, Tokens: ids(w.seq.Len(), w.n)})
	}
	if err := h.step(h.t.Context(), batch...); err != nil {
		h.t.Fatal(err)
	}
	for _, w := range works {
		h.check(w.seq)
	}
}

// ids returns the tokens of all sequences from one on.
func ids(first, n int) (tokens []int32) {
	for i := range n {
		tokens = append(tokens, int32((first+i)*(first+i)%997))
	}
	return tokens
}

// check compares the states of a sequence with what its tokens make of them.
func (h *stateful) check(s *Seq) {
	h.t.Helper()
	kept := save(h.t, h.pool, s)
	if !slices.Equal(kept.Tokens, s.Tokens()) {
		h.t.Fatalf("tokens %v were saved of %v", kept.Tokens, s.Tokens())
	}
	at := slices.Clone(kept.Snapshots)
	if n := len(at); kept.Computed > 0 && (n == 0 || at[n-1] < kept.Computed) {
		at = append(at, kept.Computed)
	}
	if len(kept.states) != len(at)*len(h.pool.states.layers) {
		h.t.Fatalf("%d states were saved, of those after %v", len(kept.states), at)
	}
	for i, n := range at {
		for number, l := range h.pool.states.layers {
			if got, want := kept.states[[2]int{i, number}], h.stateOf(l, kept.Tokens[:n]); !bytes.Equal(got, want) {
				h.t.Fatalf("layer %d after %d tokens: the state is not theirs", l, n)
			}
		}
	}
}

func from(k shelf) source { return source{shelf: k} }

func (h *stateful) restore(n int, from Source, k shelf) *Seq {
	h.t.Helper()
	s, err := h.pool.Restore(h.t.Context(), k.tokens[:n], from)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// shelved is a sequence of 300 tokens, saved, with the states after some fewer besides.
func (h *stateful) shelved(snapshots ...int) shelf {
	s := h.pool.NewSeq()
	defer s.Close()
	h.grow(growth{s, 300})
	k := save(h.t, h.pool, s)
	k.Snapshots = snapshots
	for i, n := range append(slices.Clone(snapshots), 300) {
		for number, l := range h.pool.states.layers {
			k.states[[2]int{i, number}] = h.stateOf(l, k.tokens[:n])
		}
	}
	return k
}

// A restored sequence has the states that it had, and goes on with them, under every policy.
func TestRestoredStatesAreThoseThatWereSaved(t *testing.T) {
	for _, policy := range []Policy{Static, Auto, Dynamic, Offloaded, OffloadedStatic} {
		for _, copies := range []bool{false, true} {
			t.Run(fmt.Sprint(policy, copies), func(t *testing.T) {
				o := uniform(policy, 1, 700)
				o.ForcedCopies, o.ChunkTokens = copies, 100
				h := newStateful(t, o)
				s := h.pool.NewSeq()
				h.grow(growth{s, 250})
				h.grow(growth{s, 41})
				kept := save(t, h.pool, s)
				h.grow(growth{s, 2})
				r := h.restore(291, from(kept), kept)
				save(t, h.pool, r).equal(t, kept)
				slow := from(kept)
				slow.before = func(context.Context, int, int) error { time.Sleep(time.Millisecond); return nil }
				slow.beforeState = func(context.Context, int) error { time.Sleep(3 * time.Millisecond); return nil }
				again := h.restore(291, slow, kept)
				f := forkOf(t, again)
				h.grow(growth{s, 1}, growth{again, 2}, growth{f, 1}, growth{r, 1})
				h.grow(growth{again, 1}, growth{f, 120})
			})
		}
	}
}

// A device with memory of its own gets and gives the same states.
func TestStatesAreRestoredToADeviceOfItsOwn(t *testing.T) {
	h := newStatefulOn(t, onVulkan(t), uniform(Offloaded, 1, 700))
	kept := h.shelved(100, 256)
	slow := from(kept)
	slow.beforeState = func(context.Context, int) error { time.Sleep(time.Millisecond); return nil }
	s := h.restore(300, slow, kept)
	f := forkOf(t, s)
	h.grow(growth{h.pool.NewSeq(), 3}, growth{s, 2})
	if err := f.Truncate(270); err != nil {
		t.Fatal(err)
	}
	h.grow(growth{f, 1}, growth{s, 1})
}

// A sequence begins with the last snapshot at or before its end; the tokens behind it are pending, and no
// more is read than that needs.
func TestRestoreBeginsWithTheNearestSnapshot(t *testing.T) {
	o := uniform(Offloaded, 1, 700)
	o.ForcedCopies = true
	h := newStateful(t, o)
	kept := h.shelved(100, 256)
	state := int64(0)
	for _, size := range h.pool.StateSizes() {
		state += size
	}
	for _, tt := range []struct{ tokens, computed, blocks int }{
		{300, 300, 2}, {299, 256, 1}, {257, 256, 1}, {256, 256, 1}, {255, 100, 1}, {100, 100, 1}, {99, 0, 0}, {1, 0, 0},
	} {
		before, closed := h.pool.Stats().RestoredBytes, new(atomic.Int32)
		h.notices = nil
		f := from(kept)
		f.closed = closed
		s := h.restore(tt.tokens, f, kept)
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		for _, layout := range h.pool.Layouts() {
			want += int64(tt.blocks) * layout.RowBytes() * Block
		}
		for _, at := range []int{100, 256, 300} { // those before go behind the one that the sequence begins with
			if at <= tt.computed {
				want += state
			}
		}
		if got := h.pool.Stats().RestoredBytes - before; got != want {
			t.Errorf("%d tokens: %d bytes were read; want %d", tt.tokens, got, want)
		}
		if got := len(s.Pending()); s.Len() != tt.tokens || got != tt.tokens-tt.computed {
			t.Errorf("%d tokens: %d, and %d of them pending; want %d pending", tt.tokens, s.Len(), got, tt.tokens-tt.computed)
		}
		if got := len(h.notices); (tt.computed == 0) != (got == 1) {
			t.Errorf("%d tokens: notices %q", tt.tokens, h.notices)
		}
		h.grow(growth{s, 2})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if n := closed.Load(); n != 1 {
			t.Errorf("%d tokens: the source was closed %d times; want once", tt.tokens, n)
		}
	}
	s := h.restore(300, struct{ Source }{from(kept)}, kept) // one that has rows alone
	if len(s.Pending()) != 300 {
		t.Errorf("%d tokens are pending of 300 without any state", len(s.Pending()))
	}
	h.grow(growth{s, 1})
	if _, err := h.pool.Restore(t.Context(), make([]int32, 701), from(shelf{})); !errors.Is(err, ErrFull) {
		t.Errorf("701 tokens: %v; want %v", err, ErrFull)
	}
}

// A restored sequence goes back to the snapshots that it had, also while they are read, and is saved with
// them again.
func TestRestoredSequencesGoBackToTheirSnapshots(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"in host memory": func(*Options) {},
		"in files": func(o *Options) {
			_, makers := diskTiers(t, disk.Options{}, 0)
			o.Tier = makers["disk"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := uniform(Dynamic, 1, 700)
			change(&o)
			h := newStateful(t, o)
			kept := h.shelved(100, 256, 290)
			for _, to := range []struct{ n, computed int }{{300, 300}, {299, 290}, {290, 290}, {270, 256}, {255, 100}, {99, 0}, {0, 0}} {
				for _, slow := range []bool{false, true} {
					f := from(kept)
					if f.beforeState = func(context.Context, int) error { return nil }; slow {
						f.beforeState = func(context.Context, int) error { time.Sleep(2 * time.Millisecond); return nil }
					}
					s := h.restore(300, f, kept)
					fork := forkOf(t, s)
					if !slow {
						again := save(t, h.pool, s)
						if !slices.Equal(again.Snapshots, kept.Snapshots) || again.Computed != 300 {
							t.Errorf("snapshots %v and %d were saved again; want %v and 300", again.Snapshots, again.Computed, kept.Snapshots)
						}
						h.check(s)
					}
					if err := s.Truncate(to.n); err != nil {
						t.Fatal(err)
					}
					if got := len(s.Pending()); got != to.n-to.computed {
						t.Errorf("truncated to %d: %d tokens are pending; want %d", to.n, got, to.n-to.computed)
					}
					h.grow(growth{s, 2}, growth{fork, 1})
					for _, s := range []*Seq{s, fork} {
						if err := s.Close(); err != nil {
							t.Error(err)
						}
					}
				}
			}
			if n := h.pool.Stats().Snapshots; n != 0 {
				t.Errorf("%d snapshots are left", n)
			}
		})
	}
}

// A sequence that is closed while its snapshots are read reads no more of them, and what it asks for now
// is the state that comes.
func TestSnapshotsOfARestoredSequenceAreItsOwn(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	kept := h.shelved(100, 256)
	stopped := from(kept)
	stopped.beforeState = func(ctx context.Context, layer int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	s := h.restore(300, stopped, kept)
	if err := s.SnapshotAt(300); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	slow := from(kept)
	slow.beforeState = func(context.Context, int) error { time.Sleep(5 * time.Millisecond); return nil }
	s = h.restore(300, slow, kept)
	if err := s.SnapshotAt(300); err != nil {
		t.Fatal(err)
	}
	h.grow(growth{s, 5})
	if err := s.Truncate(300); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Pending()); n != 0 {
		t.Errorf("%d tokens are pending; want none", n)
	}
	h.grow(growth{s, 5})
}

// A snapshot that cannot be read harms only who goes back to it: it begins with the one before.
func TestASnapshotThatCannotBeRestoredIsMissedAlone(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	kept := h.shelved(100, 256)
	broken := errors.New("broken")
	f := damagedSnapshot{from(kept), 1, broken}
	s := h.restore(300, f, kept)
	h.grow(growth{s, 1})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := save(t, h.pool, s); !slices.Equal(again.Snapshots, []int{100}) || again.Computed != 301 {
		t.Errorf("snapshots %v and %d were saved; want 100 and 301", again.Snapshots, again.Computed)
	}
	if err := s.Truncate(270); err != nil {
		t.Fatal(err)
	}
	err := h.step(t.Context(), Work{Seq: s, Tokens: ids(270, 1)})
	if pending, ok := errors.AsType[*PendingError](err); !ok || pending.Seq != s || !errors.Is(err, broken) {
		t.Fatalf("%v; want a PendingError", err)
	}
	if n := len(s.Pending()); n != 170 {
		t.Errorf("%d tokens are pending; want 170", n)
	}
	h.grow(growth{s, 1})
}

// A sequence that begins with a snapshot that has not come is saved with the one before.
func TestASequenceIsSavedWithoutTheSnapshotThatItBeganWith(t *testing.T) {
	for name, snapshots := range map[string][]int{"one before": {100, 256}, "none before": {256}} {
		t.Run(name, func(t *testing.T) {
			h := newStateful(t, uniform(Dynamic, 1, 700))
			kept := h.shelved(snapshots...)
			s := h.restore(300, damagedSnapshot{from(kept), len(snapshots) - 1, errors.New("broken")}, kept)
			if err := s.Truncate(270); err != nil {
				t.Fatal(err)
			}
			before := snapshots[:len(snapshots)-1]
			computed := 0
			if len(before) > 0 {
				computed = before[0]
			}
			again := save(t, h.pool, s)
			if !slices.Equal(again.Snapshots, before) || again.Computed != computed || len(again.Tokens) != 270 {
				t.Errorf("snapshots %v and %d of %d tokens were saved; want %v and %d of 270", again.Snapshots, again.Computed, len(again.Tokens), before, computed)
			}
			h.grow(growth{s, 1})
		})
	}
}

// damagedSnapshot cannot deliver one of the states.
type damagedSnapshot struct {
	source
	number int
	err    error
}

func (d damagedSnapshot) State(ctx context.Context, number, layer int, buffer []byte) ([]byte, error) {
	if number == d.number && layer == 1 {
		return nil, d.err
	}
	return d.source.State(ctx, number, layer, buffer)
}

// Pending tokens are saved as such.
func TestPendingTokensAreSavedAndRestored(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	kept := h.shelved(100)
	s := h.restore(180, from(kept), kept)
	pending := save(t, h.pool, s)
	if len(pending.Tokens) != 180 || pending.Computed != 100 || !slices.Equal(pending.Snapshots, []int{100}) {
		t.Fatalf("%d tokens, %d computed, snapshots %v", len(pending.Tokens), pending.Computed, pending.Snapshots)
	}
	for _, n := range []int{180, 120, 100} {
		r := h.restore(n, from(pending), pending)
		if got := len(r.Pending()); got != n-100 {
			t.Errorf("%d tokens: %d are pending; want %d", n, got, n-100)
		}
		h.grow(growth{r, 3})
	}
}

// What others do while states come harms neither: the states of all move when more sequences begin, and a
// sequence that has gone back or was closed has left its place to nobody as long as it is written to.
func TestStatesMayMoveWhileTheyAreRestored(t *testing.T) {
	for name, then := range map[string]func(h *stateful, s *Seq){
		"used":      func(*stateful, *Seq) {},
		"truncated": func(h *stateful, s *Seq) { _ = s.Truncate(20) },
		"empty":     func(h *stateful, s *Seq) { _ = s.Truncate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newStateful(t, uniform(Dynamic, 1, 700))
			kept := h.shelved()
			allow := make(chan struct{})
			f := from(kept)
			f.beforeState = func(ctx context.Context, layer int) error {
				if layer == 0 {
					return nil
				}
				select {
				case <-allow:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			s := h.restore(300, f, kept)
			then(h, s)
			var others []growth
			for range 6 {
				others = append(others, growth{h.pool.NewSeq(), 3})
				h.grow(others...)
			}
			close(allow)
			h.grow(append(others, growth{s, 2})...)
			h.grow(append(others, growth{s, 2})...)
		})
	}
}

// A step with several trees waits for the states of all of them before it computes a recurrent layer.
func TestAStepWaitsForTheStatesOfAllItsTrees(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	kept := h.shelved()
	other := h.pool.NewSeq()
	h.grow(growth{other, 3})
	f := from(kept)
	f.beforeState = func(context.Context, int) error { time.Sleep(20 * time.Millisecond); return nil }
	h.grow(growth{other, 1}, growth{h.restore(300, f, kept), 1})
}

// A state that cannot be read ends the step that needs it, and the sequence.
func TestAStateThatCannotBeReadEndsTheSequence(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	kept := h.shelved()
	broken := errors.New("broken")
	for layer := range h.pool.states.layers {
		f := from(kept)
		f.beforeState = func(_ context.Context, l int) error {
			if l == layer {
				return broken
			}
			return nil
		}
		s := h.restore(300, f, kept)
		for range 2 {
			if err := h.step(t.Context(), Work{Seq: s, Tokens: ids(300, 1)}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "layer") {
				t.Errorf("layer %d: %v; want %v", layer, err, broken)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	s := h.restore(300, from(kept), kept)
	h.grow(growth{s, 1})
}

// A save that fails in a state leaves the sequence.
func TestASaveThatFailsInAStateLeavesTheSequence(t *testing.T) {
	h := newStateful(t, uniform(Dynamic, 1, 700))
	s := h.pool.NewSeq()
	h.grow(growth{s, 30})
	broken := errors.New("broken")
	calls := onceEach(func(call int) bool {
		err := h.pool.Save(t.Context(), s, sink{state: func(int, int, []byte) error {
			if call--; call == 0 {
				return broken
			}
			return nil
		}})
		return errors.Is(err, broken)
	})
	if calls != 3 {
		t.Errorf("%d states were written; want 3", calls)
	}
	h.grow(growth{s, 1})
}

var _ StateSource = source{}
