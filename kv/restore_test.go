package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
)

// source delivers what a shelf keeps, as a file does.
type source struct {
	shelf
	before      func(ctx context.Context, layer, first int) error // before each read of rows; nil: nothing
	beforeState func(ctx context.Context, layer int) error        // before each read of a state
	closed      *atomic.Int32
}

func (s source) Read(ctx context.Context, layer, first, blocks int, buffer []byte) ([]byte, error) {
	if s.before != nil {
		if err := s.before(ctx, layer, first); err != nil {
			return nil, err
		}
	}
	at := buffer[SourceSlack-1:] // anywhere in the buffer
	n := 0
	for b := range blocks {
		n += copy(at[n:], s.rows[[2]int{layer, first + b}])
	}
	return at[:n], nil
}

func (s source) WindowFrom() int { return s.from }

func (s source) States() (computed int, snapshots []int) { return s.Computed, s.Snapshots }

func (s source) State(ctx context.Context, number, layer int, buffer []byte) ([]byte, error) {
	if s.beforeState != nil {
		if err := s.beforeState(ctx, layer); err != nil {
			return nil, err
		}
	}
	return buffer[4:][:copy(buffer[4:], s.states[[2]int{number, layer}])], nil
}

func (s source) Close() error {
	if s.closed != nil {
		s.closed.Add(1)
	}
	return nil
}

func restored(t rapid.TB, p *Pool, k shelf) *Seq {
	t.Helper()
	return restoredFrom(t, p, source{shelf: k})
}

func restoredFrom(t rapid.TB, p *Pool, from source) *Seq {
	t.Helper()
	s, err := p.Restore(context.Background(), from.tokens, from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keeper is a pool with a sequence of 520 tokens, and what is saved of it. Its tier can fail.
type keeper struct {
	*ledger
	kept shelf
	down *failing
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	o := uniform(Offloaded, 3, 600)
	o.ForcedCopies = true
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	s := l.seq()
	l.grow(growth{s, 520})
	k := &keeper{l, save(t, l.pool, s), down}
	l.closeSeq(s)
	return k
}

// restore restores from a source, and keeps account of the sequence.
func (k *keeper) restore(from source) *Seq {
	k.t.Helper()
	s := restoredFrom(k.t, k.pool, from)
	k.tokens[s] = slices.Clone(from.tokens)
	return s
}

// held is a source of which each read waits until as many are allowed.
type held struct {
	source
	allow chan struct{}
	reads atomic.Int32 // begun
}

func (k *keeper) held() *held {
	h := &held{source: source{shelf: k.kept}, allow: make(chan struct{}, 100)}
	h.before = func(ctx context.Context, _, _ int) error {
		h.reads.Add(1)
		select {
		case <-h.allow:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return h
}

// A layer is computed as soon as it is there, while later ones are still to come.
func TestTheFirstLayersDoNotWaitForTheLast(t *testing.T) {
	for _, copies := range []bool{false, true} {
		o := uniform(Offloaded, 8, 600)
		o.ForcedCopies, o.ResidentLayers = copies, 3
		l := newLedger(t, ownCPU(t, 0), o)
		a := l.seq()
		l.grow(growth{a, 520})
		kept := save(t, l.pool, a)
		l.closeSeq(a)
		allow := make([]chan struct{}, 8)
		for i := range allow {
			allow[i] = make(chan struct{})
		}
		s := restoredFrom(t, l.pool, source{shelf: kept, before: func(ctx context.Context, layer, _ int) error {
			select {
			case <-allow[layer]:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		l.tokens[s] = slices.Clone(kept.tokens)
		close(allow[0])
		l.during = func(_ *Step, layer *Layer) {
			if next := layer.Index + 1; next < len(allow) {
				close(allow[next]) // it cannot have come before
			}
		}
		l.grow(growth{s, 1}) // reads all that it may see, and knows what that must be
		l.during = nil
		l.grow(growth{s, 70})
		l.check()
		l.close()
	}
}

// No more is read than the tokens need.
func TestRestoreReadsOnlyWhatIsWanted(t *testing.T) {
	k := newKeeper(t)
	block := 0
	for _, layout := range k.pool.config.layouts {
		block += int(layout.RowBytes()) * Block
	}
	for _, tt := range []struct{ tokens, blocks int }{{520, 3}, {513, 3}, {512, 2}, {300, 2}, {256, 1}, {1, 1}, {0, 0}} {
		before := k.pool.Stats().RestoredBytes
		from := source{shelf: k.kept, closed: new(atomic.Int32)}
		from.tokens = k.kept.tokens[:tt.tokens]
		s := k.restore(from)
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := k.pool.Stats().RestoredBytes-before, int64(tt.blocks*block); got != want {
			t.Errorf("%d tokens: %d bytes were read; want %d", tt.tokens, got, want)
		}
		k.grow(growth{s, 2})
		k.check()
		k.closeSeq(s)
		if n := from.closed.Load(); n != 1 {
			t.Errorf("%d tokens: the source was closed %d times; want once", tt.tokens, n)
		}
	}
}

// What is cut off while it is restored is not read any more.
func TestTruncateEndsTheReadingOfWhatIsCutOff(t *testing.T) {
	k := newKeeper(t)
	h := k.held()
	s := k.restore(h.source)
	f := k.fork(s)
	k.truncate(s, 100)
	k.truncate(f, 200)
	for range cap(h.allow) {
		h.allow <- struct{}{}
	}
	k.grow(growth{s, 2}, growth{f, 3})
	k.check()
	if got, most := k.pool.Stats().RestoredBytes, int64(mostReaders*3+3)*8*Block; got > most {
		t.Errorf("%d bytes were read; want at most %d: those that were being read, and one block of each layer", got, most)
	}
	k.closeSeq(s)
	k.closeSeq(f)
}

// A sequence is forked, cut, closed, saved, joined by others and used by cancelled steps while it is
// restored.
func TestASequenceIsUsedWhileItIsRestored(t *testing.T) {
	k := newKeeper(t)
	h := k.held()
	s := k.restore(h.source)
	f := k.fork(s)
	g := k.fork(f)
	k.closeSeq(s)
	k.truncate(g, 510)
	other := k.seq()
	k.grow(growth{other, 7}) // a step without it does not wait

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := k.step(ctx, 4, growth{f, 1}, growth{other, 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a step whose context ends first: %v", err)
	}
	if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
	if err := k.pool.Save(ctx, f, sink{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("saving: %v", err)
	}
	for range cap(h.allow) {
		h.allow <- struct{}{}
	}
	save(t, k.pool, f).equal(t, k.kept)
	k.grow(growth{f, 1}, growth{other, 2}, growth{g, 3})
	k.check()
	for _, s := range []*Seq{f, g, other} {
		k.closeSeq(s)
	}
	nothingLeft(t, k.pool, "at the end")
}

// Whoever closes the sequence or the pool ends the reading; a step that waits for it fails.
func TestCloseEndsARestore(t *testing.T) {
	k := newKeeper(t)
	h := k.held()
	h.closed = new(atomic.Int32)
	k.closeSeq(k.restore(h.source))
	if h.closed.Load() != 1 {
		t.Error("the source is open after the sequence was closed")
	}
	nothingLeft(t, k.pool, "after the sequence was closed")

	s := k.restore(h.source)
	f := k.fork(s)
	begun := make(chan struct{})
	k.during = func(*Step, *Layer) { t.Error("a layer without rows is computed") }
	var closing sync.WaitGroup
	closing.Go(func() {
		<-begun
		if err := k.pool.Close(); err != nil {
			t.Error(err)
		}
	})
	step, err := k.pool.Begin(t.Context(), k.batch([]growth{{s, 1}, {f, 2}}))
	if err != nil {
		t.Fatal(err)
	}
	close(begun)
	for _, err := range step.Layers(t.Context()) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("a step in a pool that is closed: %v; want %v", err, ErrClosed)
		}
	}
	if err := step.Close(); err != nil {
		t.Error(err)
	}
	closing.Wait()
	if h.closed.Load() != 2 {
		t.Error("the source is open after the pool was closed")
	}
	if _, err := k.pool.Restore(t.Context(), k.kept.tokens, h.source); !errors.Is(err, ErrClosed) {
		t.Errorf("%v; want %v", err, ErrClosed)
	}
	if h.closed.Load() != 3 {
		t.Error("the source is open after a restore that failed")
	}
}

// What could not be read is never computed with, and the sequence stays broken.
func TestAStepFailsWhereItsRowsHaveNotCome(t *testing.T) {
	broken := errors.New("broken")
	for layer := range 3 {
		for _, policy := range []Policy{Dynamic, Offloaded} {
			o := uniform(policy, 3, 600)
			o.ForcedCopies = true
			l := newLedger(t, ownCPU(t, 0), o)
			a := l.seq()
			l.grow(growth{a, 520})
			kept := save(t, l.pool, a)
			s := restoredFrom(t, l.pool, source{shelf: kept, before: func(_ context.Context, at, first int) error {
				if at == layer && first == 0 {
					return fmt.Errorf("read: %w", broken)
				}
				return nil
			}})
			f := forkOf(t, s)
			l.tokens[s], l.tokens[f] = slices.Clone(kept.tokens), slices.Clone(kept.tokens)
			l.during = func(_ *Step, at *Layer) {
				if at.Index >= layer {
					t.Errorf("layer %d was computed without the rows of layer %d", at.Index, layer)
				}
			}
			for _, seq := range []*Seq{s, s, f} {
				if err := l.step(t.Context(), 4, growth{seq, 1}, growth{a, 1}); !errors.Is(err, broken) {
					t.Errorf("layer %d under %v: %v; want %v", layer, policy, err, broken)
				}
			}
			l.during = nil
			if err := l.pool.Save(t.Context(), f, sink{}); !errors.Is(err, broken) {
				t.Errorf("save: %v; want %v", err, broken)
			}
			l.closeSeq(s)
			l.closeSeq(f)
			l.grow(growth{a, 1})
			l.check()
			l.closeSeq(a)
			nothingLeft(t, l.pool, "after a read failed")
			l.close()
		}
	}
}

// nothingLeft checks that a pool that keeps no memory for later has no sequence and no rows.
func nothingLeft(t *testing.T, p *Pool, what string) {
	t.Helper()
	slots := int64(0)
	for _, s := range p.devices[0].slots {
		slots += s.buffer.Size()
	}
	if got := p.Stats(); len(p.trees) != 0 || got.HostBytes != 0 || got.DiskBytes != 0 || got.DeviceBytes != slots {
		t.Errorf("%s: %d trees and %+v are left; want %d bytes of slots", what, len(p.trees), got, slots)
	}
	if got := p.devices[0].backend.Usage().Total(); got != slots {
		t.Errorf("%s: %d bytes are allocated; want %d", what, got, slots)
	}
}

// onceEach calls a function that makes the calls of something fail, from the first on, one after
// the other, until all have succeeded; it returns how many there were.
func onceEach(failAt func(call int) (failed bool)) (calls int) {
	for failAt(calls + 1) {
		calls++
	}
	return calls
}

func TestRestoreThatFailsLeavesNothing(t *testing.T) {
	k := newKeeper(t)
	broken := errors.New("broken")
	// attempt restores, and returns the first error.
	attempt := func(from source) error {
		s, err := k.pool.Restore(t.Context(), from.tokens, from)
		if err != nil {
			return err
		}
		return errors.Join(s.Wait(t.Context()), s.Close())
	}
	reads := onceEach(func(call int) bool {
		var n atomic.Int32
		err := attempt(source{shelf: k.kept, before: func(context.Context, int, int) error {
			if n.Add(1) == int32(call) {
				return broken
			}
			return nil
		}})
		nothingLeft(t, k.pool, fmt.Sprintf("read %d fails", call))
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("read %d fails: %v; want %v", call, err, broken)
		}
		return err != nil
	})
	if reads != 3 {
		t.Errorf("%d reads; want one of each layer", reads)
	}
	stores := onceEach(func(call int) bool {
		k.down.set(call)
		err := attempt(source{shelf: k.kept})
		k.down.set(0)
		nothingLeft(t, k.pool, fmt.Sprintf("store %d fails", call))
		if err != nil && !errors.Is(err, errDown) {
			t.Errorf("store %d fails: %v; want %v", call, err, errDown)
		}
		return err != nil
	})
	if stores != 9 {
		t.Errorf("%d stores; want one of each block", stores)
	}
	allocations := onceEach(func(call int) bool {
		k.pool.hooks.alloc = func() error {
			if call--; call == 0 {
				return ggml.ErrNoMemory
			}
			return nil
		}
		err := attempt(source{shelf: k.kept})
		k.pool.hooks.alloc = nil
		nothingLeft(t, k.pool, "an allocation fails")
		if err != nil && !errors.Is(err, ErrNoMemory) {
			t.Errorf("an allocation fails: %v; want %v", err, ErrNoMemory)
		}
		return err != nil
	})
	if allocations != 4 {
		t.Errorf("%d allocations; want the rows of three layers and a buffer", allocations)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.pool.Restore(ctx, k.kept.tokens, source{shelf: k.kept}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nothingLeft(t, k.pool, "after it was cancelled")
	if _, err := k.pool.Restore(t.Context(), make([]int32, 601), source{shelf: k.kept}); !errors.Is(err, ErrFull) {
		t.Errorf("601 tokens into room for 600: %v; want %v", err, ErrFull)
	}
	nothingLeft(t, k.pool, "after it was full")
	s := k.restore(source{shelf: k.kept})
	save(t, k.pool, s).equal(t, k.kept)
	k.closeSeq(s)
}

// fromSlowDisk returns a source of which every read takes a random time, as on a slow disk.
func fromSlowDisk(k shelf, seed uint64, most time.Duration) source {
	delay := delays(seed, most)
	return source{
		shelf: k, before: func(context.Context, int, int) error { delay(); return nil },
		beforeState: func(context.Context, int) error { delay(); return nil },
	}
}

// The bits are those of a sequence that never left, also where the first steps compute while rows
// still come from a slow disk: under every policy, on every tier, alone and together with others.
func TestStepsDuringASlowRestoreChangeNoBit(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	b := onCPU(t)
	want := newRig(t, b, rigOptions(Static, 3, ggml.F16))
	defer want.close()
	s := lived(want)
	last, first := want.last, len(want.steps)
	kept := save(t, want.pool, s)
	lives(want, s)
	finite(t, want.steps)

	places := map[string]func(o *Options){
		"static":               func(o *Options) { o.Policy = Static },
		"dynamic":              func(o *Options) { o.Policy = Dynamic },
		"offloaded in place":   func(o *Options) { o.ForcedCopies = false },
		"some layers resident": func(o *Options) { o.ResidentLayers = 1 },
		"offloaded_static":     func(o *Options) { o.Policy = OffloadedStatic },
		"over a link":          func(o *Options) { o.Link = 1 << 30 },
		"auto, all of it fits": func(o *Options) { o.Policy = Auto },
		"auto, layers leave":   func(o *Options) { o.Policy = Auto },
		"auto, trees grow":     func(o *Options) { o.Policy, o.Memory = Auto, []int64{3 * 512 * 2 * 2 * rigDim * rigKVHeads} },
		"rows attended to on the host": func(o *Options) {
			o.Tier, o.HostAttention, o.HostDepth = host.New, []bool{true, false, true}, 1<<20
		},
	}
	_, makers := diskTiers(t, disk.Options{}, 200<<10)
	for place, maker := range makers {
		places[place] = func(o *Options) { o.Tier, o.SlotAlign = maker, 4096 }
	}
	for place, set := range places {
		t.Run(place, func(t *testing.T) {
			for seed := range uint64(2) {
				o := rigOptions(Offloaded, 3, ggml.F16)
				o.ForcedCopies = true
				set(&o)
				after := newRig(t, b, o)
				after.pool.hooks.freed = poison
				s := restoredFrom(t, after.pool, fromSlowDisk(kept, seed, 4*time.Millisecond))
				beside := restoredFrom(t, after.pool, fromSlowDisk(kept, seed+10, 8*time.Millisecond))
				if place == "auto, layers leave" {
					squeeze(t, after.pool, 70)
					if after.pool.Stats().Demotions == 0 {
						t.Error("no layer has left")
					}
				}
				after.last = last
				lives(after, s)
				if i := differ(after.steps, want.steps[first:]); i >= 0 {
					t.Errorf("seed %d: step %d after restoring differs", seed, i)
				}
				after.last = last
				before := len(after.steps)
				lives(after, beside)
				if i := differ(after.steps[before:], want.steps[first:]); i >= 0 {
					t.Errorf("seed %d: step %d of a second sequence differs", seed, i)
				}
				if n := after.pool.Stats().Demotions; place == "auto, trees grow" && n == 0 {
					t.Error("no layer has left")
				}
				after.close()
			}
		})
	}
}

// Two sequences that are restored at the same time take part in one step.
func TestSequencesThatAreRestoredShareAStep(t *testing.T) {
	k := newKeeper(t)
	long, short := k.kept, k.kept
	short.tokens = short.tokens[:200]
	a, b := k.restore(fromSlowDisk(long, 1, time.Millisecond)), k.restore(fromSlowDisk(short, 2, 5*time.Millisecond))
	c := k.fork(b)
	k.grow(growth{a, 3}, growth{b, 1}, growth{c, 2})
	k.check()
	for _, s := range []*Seq{a, b, c} {
		k.closeSeq(s)
	}
}
