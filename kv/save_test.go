package kv

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
)

// shelf keeps what was saved of a sequence.
type shelf struct {
	Saved
	tokens []int32
	from   int               // the first token whose rows windowed layers have
	rows   map[[2]int][]byte // by layer and block
	states map[[2]int][]byte // by snapshot and layer
}

// sink is a [Sink] made of functions. Those that are nil do nothing.
type sink struct {
	begin func(Saved) error
	rows  func(layer, block int, rows []byte) error
	state func(snapshot, layer int, state []byte) error
}

func (s sink) Begin(all Saved) error {
	if s.begin == nil {
		return nil
	}
	return s.begin(all)
}

func (s sink) Rows(layer, block int, rows []byte) error {
	if s.rows == nil {
		return nil
	}
	return s.rows(layer, block, rows)
}

func (s sink) State(snapshot, layer int, state []byte) error {
	if s.state == nil {
		return nil
	}
	return s.state(snapshot, layer, state)
}

func save(t rapid.TB, p *Pool, s *Seq) shelf {
	t.Helper()
	return savePart(t, p, s, SaveOptions{}, func() {})
}

// savePart saves what options say, and calls beside before each write.
func savePart(t rapid.TB, p *Pool, s *Seq, o SaveOptions, beside func()) shelf {
	t.Helper()
	kept := shelf{rows: map[[2]int][]byte{}, states: map[[2]int][]byte{}}
	err := p.SavePart(context.Background(), s, o, sink{func(all Saved) error {
		kept.Saved, kept.tokens, kept.from = all, slices.Clone(all.Tokens), all.WindowFrom
		return nil
	}, func(layer, block int, rows []byte) error {
		beside()
		kept.rows[[2]int{layer, block}] = bytes.Clone(rows)
		return nil
	}, func(snapshot, layer int, state []byte) error {
		beside()
		kept.states[[2]int{snapshot, layer}] = bytes.Clone(state)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func (k shelf) equal(t rapid.TB, other shelf) {
	t.Helper()
	if !slices.Equal(k.tokens, other.tokens) || len(k.rows) != len(other.rows) {
		t.Fatalf("%d tokens in %d blocks; want %d in %d", len(k.tokens), len(k.rows), len(other.tokens), len(other.rows))
	}
	for at, rows := range other.rows {
		if !bytes.Equal(k.rows[at], rows) {
			t.Errorf("block %d of layer %d differs", at[1], at[0])
		}
	}
}

// lived is what a sequence goes through before it is saved: it fills blocks, and shares them with a
// fork that has come and gone.
func lived(r *rig) *Seq {
	s := r.pool.NewSeq()
	r.grow(growth{s, 300})
	f := forkOf(r.t, s)
	r.grow(growth{f, 2})
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{s, 1})
	return s
}

// lives is what it goes through afterwards.
func lives(r *rig, s *Seq) {
	r.grow(growth{s, 1})
	r.grow(growth{s, 40})
	f := forkOf(r.t, s)
	r.grow(growth{s, 1}, growth{f, 2})
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Truncate(270); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{f, 1})
	if err := f.Truncate(100); err != nil { // into what was restored as a whole block
		r.t.Fatal(err)
	}
	r.grow(growth{f, 190})
	r.grow(growth{f, 1})
}

// A sequence that comes back into another cache gives the bits that it gives if it never left.
func TestRestoredSequenceEqualsOneThatNeverLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	for _, d := range []struct {
		name   string
		open   func(rapid.TB) *ggml.Backend
		copies bool
		types  []ggml.Type
	}{
		{"cpu in place", onCPU, false, types},
		{"cpu copies", onCPU, true, types},
		{"vulkan", onVulkan, true, []ggml.Type{ggml.F16}},
	} {
		t.Run(d.name, func(t *testing.T) {
			b := d.open(t)
			for _, typ := range d.types {
				want := newRig(t, b, rigOptions(Static, 3, typ))
				defer want.close()
				s := lived(want)
				last, first := want.last, len(want.steps)
				kept := save(t, want.pool, s)
				lives(want, s)
				finite(t, want.steps)
				for _, policy := range []Policy{Static, Auto, Dynamic, Offloaded, OffloadedStatic} {
					t.Run(typ.String()+"/"+policy.String(), func(t *testing.T) {
						o := rigOptions(policy, 3, typ)
						o.ForcedCopies = d.copies
						if policy.streams() {
							o.ResidentLayers = 1
						}
						before := newRig(t, b, o)
						save(t, before.pool, lived(before)).equal(t, kept)
						before.close()

						after := newRig(t, b, o)
						defer after.close()
						again := restored(t, after.pool, kept)
						save(t, after.pool, again).equal(t, kept)
						if err := again.Close(); err != nil {
							t.Error(err)
						}
						s := restoredFrom(t, after.pool, fromSlowDisk(kept, 1, 3*time.Millisecond)) // while it is used
						after.last = last
						lives(after, s)
						if i := differ(after.steps, want.steps[first:]); i >= 0 {
							t.Errorf("step %d after restoring differs", i)
						}
					})
				}
			}
		})
	}
}

func TestRestoredSequenceEqualsOneThatNeverLeftOnEveryTier(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	b := onCPU(t)
	for _, typ := range []ggml.Type{ggml.F32, ggml.Q8_0} {
		want := newRig(t, b, rigOptions(Static, 3, typ))
		defer want.close()
		s := lived(want)
		last, first := want.last, len(want.steps)
		kept := save(t, want.pool, s)
		lives(want, s)
		_, makers := diskTiers(t, disk.Options{}, 200<<10)
		makers["rows attended to on the host"] = host.New
		for place, maker := range makers {
			t.Run(typ.String()+"/"+place, func(t *testing.T) {
				o := rigOptions(Offloaded, 3, typ)
				o.Tier, o.ForcedCopies, o.SlotAlign = maker, true, 4096
				if place == "rows attended to on the host" {
					o.HostAttention, o.HostDepth = []bool{true, false, true}, 1<<20 // kept there, computed on the device
				}
				before := newRig(t, b, o)
				save(t, before.pool, lived(before)).equal(t, kept)
				before.close()
				after := newRig(t, b, o)
				defer after.close()
				s := restored(t, after.pool, kept)
				save(t, after.pool, s).equal(t, kept)
				after.last = last
				lives(after, s)
				if i := differ(after.steps, want.steps[first:]); i >= 0 {
					t.Errorf("step %d after restoring differs", i)
				}
			})
		}
	}
}

// Whatever cells a sequence has, what is saved is in the order of its tokens.
func TestSaveIsInTheOrderOfTokens(t *testing.T) {
	for _, copies := range []bool{false, true} {
		o := uniform(Offloaded, 3, 900)
		o.ForcedCopies = copies
		l := newLedger(t, ownCPU(t, 0), o)
		defer l.close()
		a := l.seq()
		l.grow(growth{a, 200})
		b := l.fork(a)
		for range 40 {
			l.grow(growth{a, 2}, growth{b, 3}) // their cells lie between each other's
		}
		l.truncate(a, 230)
		l.grow(growth{a, 101}) // into gaps
		for _, s := range []*Seq{a, b} {
			kept := save(t, l.pool, s)
			if !slices.Equal(kept.tokens, l.tokens[s]) {
				t.Fatalf("copies %v: tokens %v; want %v", copies, kept.tokens, l.tokens[s])
			}
			r := restored(t, l.pool, kept)
			save(t, l.pool, r).equal(t, kept)
			l.tokens[r] = slices.Clone(l.tokens[s])
			l.grow(growth{r, 1}) // reads all that it may see, and knows what that must be
			l.closeSeq(r)
		}
		l.check()
	}
}

func TestSaveThatFailsLeavesTheSequence(t *testing.T) {
	o := uniform(Offloaded, 3, 600)
	o.ForcedCopies = true
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 520})
	l.pool.drain()
	broken := errors.New("broken")
	writes := onceEach(func(call int) bool {
		err := l.pool.Save(t.Context(), s, sink{rows: func(int, int, []byte) error {
			if call--; call == 0 {
				return broken
			}
			return nil
		}})
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("a write fails: %v; want %v", err, broken)
		}
		return err != nil
	})
	fetches := onceEach(func(call int) bool {
		down.set(call)
		err := l.pool.Save(t.Context(), s, sink{})
		down.set(0)
		if err != nil && !errors.Is(err, errDown) {
			t.Errorf("fetch %d fails: %v; want %v", call, err, errDown)
		}
		return err != nil
	})
	if writes != 9 || fetches != 9 {
		t.Errorf("%d writes and %d fetches; want 9 of each: three blocks of three layers", writes, fetches)
	}
	if err := l.pool.Save(t.Context(), s, sink{begin: func(Saved) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("begin fails: %v; want %v", err, broken)
	}
	other := streaming(t)
	if err := other.pool.Save(t.Context(), s, sink{}); err == nil {
		t.Error("a sequence of another pool was saved")
	}
	l.grow(growth{s, 1})
	l.check()
}

// A sequence that is closed while it is saved is saved whole, and closed then; it does not change
// meanwhile.
func TestSequenceCannotChangeWhileItIsSaved(t *testing.T) {
	l := streaming(t)
	s := l.seq()
	l.grow(growth{s, 290})
	blocks := 0
	err := l.pool.Save(t.Context(), s, sink{begin: func(Saved) error {
		if err := s.Truncate(1); err == nil {
			t.Error("truncated while it was saved")
		}
		if _, err := s.Fork(); err == nil {
			t.Error("forked while it was saved")
		}
		return s.Close()
	}, rows: func(layer, _ int, rows []byte) error {
		if blocks++; bytes.Equal(rows, make([]byte, len(rows))) {
			t.Errorf("layer %d has no rows", layer)
		}
		return nil
	}})
	if err != nil || blocks != 10 {
		t.Errorf("%d blocks, %v; want 10", blocks, err)
	}
	delete(l.tokens, s)
	if len(l.pool.trees) != 0 {
		t.Error("the closed sequence has a tree")
	}
	if err := l.pool.Save(t.Context(), s, sink{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed sequence: %v; want %v", err, ErrClosed)
	}
}

func TestAnEmptySequenceIsSavedAndRestored(t *testing.T) {
	l := streaming(t)
	kept := save(t, l.pool, l.seq())
	if len(kept.tokens) != 0 || len(kept.rows) != 0 {
		t.Errorf("%v; want nothing", kept)
	}
	r := restored(t, l.pool, kept)
	l.tokens[r] = nil
	l.grow(growth{r, 3})
	l.check()
}

var _ tier.Memory = block{}
