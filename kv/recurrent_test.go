package kv

import (
	"context"
	"errors"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// A panic while a step begins leaves the pool as it was: another step can begin, and the pool be closed.
func TestAPanicWhileAStepBeginsReleasesThePool(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), hybrid(Dynamic, 5, 300))
	defer l.close()
	s := l.seq()
	for allocations := 0; ; allocations++ {
		left := allocations
		l.pool.hooks.alloc = func() error {
			if left--; left < 0 {
				panic(&ggml.ShapeError{})
			}
			return nil
		}
		panicked := func() (panicked bool) {
			defer func() { panicked = recover() != nil }()
			l.grow(growth{s, 3})
			return false
		}()
		l.pool.hooks.alloc = nil
		if !panicked {
			break
		}
		l.check()
	}
	l.grow(growth{s, 1})
	l.check()
}

// A sequence may be closed, forked and truncated after its pool was closed, which has freed its state.
func TestSequencesWithStatesOutliveTheirPool(t *testing.T) {
	l := newLedger(t, ownCPU(t, 0), hybrid(Dynamic, 5, 300))
	l.drafts = func(int) int { return 2 }
	s := l.seq()
	l.grow(growth{s, 10})
	f := l.fork(s)
	if err := l.pool.Close(); err != nil {
		t.Fatal(err)
	}
	again := forkOf(t, s)
	for _, s := range []*Seq{s, f, again} {
		mustTruncate(t, s, 9)
		mustTruncate(t, s, 3)
		if s.Len() != 3 {
			t.Errorf("%d tokens; want 3", s.Len())
		}
		mustClose(t, s)
	}
}

// Tokens to be computed again may be more than a step takes: each takes some of them, and they are the
// sequence's all the while.
func TestTokensAreComputedAgainInSeveralSteps(t *testing.T) {
	o := hybrid(Dynamic, 5, 600)
	o.StepTokens, o.ChunkTokens = 100, 30
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	for range 4 {
		l.grow(growth{s, 70})
	}
	l.truncate(s, 250)
	for _, want := range []int{150, 50} {
		if err := l.stepOf(t.Context(), 6, []Work{{Seq: s, Tokens: s.Pending()[:100]}}); err != nil {
			t.Fatal(err)
		}
		l.check()
		if got := len(s.Pending()); got != want || s.Len() != 250 {
			t.Errorf("%d of %d tokens to be computed again; want %d of 250", got, s.Len(), want)
		}
	}
	if err := l.stepOf(t.Context(), 2, []Work{{Seq: s, Tokens: s.Pending()}}); !errors.Is(err, errAbandoned) {
		t.Fatal(err)
	}
	l.check()
	f := l.fork(s)
	l.truncate(f, 220)
	l.truncate(f, 180)
	l.check()
	if err := l.computeAgain(f, nil); err != nil {
		t.Fatal(err)
	}
	l.grow(growth{s, 3}, growth{f, 7})
	l.check()
	l.truncate(s, 100)
	for _, wrong := range [][]int32{{-1}, s.Pending()[1:]} {
		if step, err := l.pool.Begin(t.Context(), []Work{{Seq: s, Tokens: wrong}}); err == nil {
			step.Close()
			t.Errorf("a step that begins with %v while other tokens are to be computed again: no error", wrong)
		}
	}
	l.check()
}

// A step that cannot begin leaves the states of drafts, so that the sequence still can go back to them.
func TestAStepThatCannotBeginKeepsTheStatesOfDrafts(t *testing.T) {
	o := hybrid(Dynamic, 5, 300)
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.drafts = func(int) int { return 3 }
	l.grow(growth{s, 10})
	l.drafts = func(int) int { return 8 } // more places than there are
	l.pool.hooks.alloc = func() error { return ggml.ErrNoMemory }
	if err := l.step(t.Context(), 6, growth{s, 9}); !errors.Is(err, ErrNoMemory) {
		t.Fatalf("%v; want %v", err, ErrNoMemory)
	}
	l.pool.hooks.alloc = nil
	l.check()
	for n := 9; n > 6; n-- {
		l.truncate(s, n)
		l.check()
		if again := s.Pending(); len(again) > 0 {
			t.Errorf("truncated to %d: %d tokens are computed again; want none", n, len(again))
		}
	}
}

// A fork has its sequence's state until one of both steps, and costs nothing before that.
func TestAForkThatNeverStepsCostsNoState(t *testing.T) {
	o := hybrid(Dynamic, 5, 300)
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 10})
	l.grow(growth{s, 1}) // in turn in two places
	before, allocations := l.pool.Stats().StatesBytes, 0
	l.pool.hooks.alloc = func() error { allocations++; return nil }
	var forks []*Seq
	for range 20 {
		forks = append(forks, l.fork(s))
	}
	l.check()
	if got := l.pool.Stats().StatesBytes; got != before || allocations > 0 {
		t.Errorf("20 forks: states take %d bytes after %d allocations; want %d", got, allocations, before)
	}
	for _, f := range forks {
		l.closeSeq(f)
	}
	l.grow(growth{s, 1})
	l.check()
	if got := l.pool.Stats().StatesBytes; got != before || allocations > 0 {
		t.Errorf("without forks: states take %d bytes after %d allocations; want %d", got, allocations, before)
	}
}

// everyKind returns options of layers of all kinds: windowed with a ring, recurrent, full, sharing.
func everyKind(policy Policy) Options {
	o := uniform(policy, 6, 1000)
	o.Layers[0].Window = 100
	o.Layers[1], o.Layers[4] = Shape{State: 70}, Shape{State: 64}
	o.Layers[5].Shares, o.Layers[5].Of = true, 2
	o.ChunkTokens, o.ForcedCopies, o.SnapshotEvery = 64, true, 200
	return o
}

// Every copy may fail, those of snapshots among them, and no state is another one than it was.
func TestFailedCopiesLeaveTheStates(t *testing.T) {
	for _, policy := range []Policy{Offloaded, Static} {
		o := everyKind(policy)
		down := &failing{make: o.Tier}
		o.Tier = down.open
		l := newLedger(t, ownCPU(t, 0), o)
		l.drafts = func(int) int { return 2 }
		s := l.seq()
		l.grow(growth{s, 200})
		l.grow(growth{s, 250})
		f := l.fork(s)
		l.grow(growth{f, 40})
		failures, unread := 0, 0
		for _, to := range []int{450, 449, 430, 150} { // the state, a draft's, a snapshot's, and that of no tokens
			for copies := 0; ; copies++ {
				if to < s.Len() {
					l.truncate(s, to)
				}
				l.pool.mu.Lock()
				l.pool.finishSnapshots()
				l.pool.mu.Unlock()
				down.set(copies + 1)
				err := l.step(t.Context(), 7, growth{s, 1}, growth{f, 2})
				if _, pending := errors.AsType[*PendingError](err); pending {
					unread++
					err = l.step(t.Context(), 7, growth{s, 1}, growth{f, 2}) // the tier is still down
				}
				l.pool.mu.Lock()
				l.pool.finishSnapshots()
				l.pool.mu.Unlock()
				down.set(0)
				l.check()
				if err == nil {
					break
				}
				if !errors.Is(err, errDown) {
					t.Fatal(err)
				}
				failures++
			}
		}
		if failures < 4 || unread == 0 {
			t.Errorf("%v: %d copies were made to fail, and %d reads of a snapshot: the test shows little", policy, failures, unread)
		}
		l.grow(growth{s, 1}, growth{f, 1})
		l.check()
		l.close()
	}
}

// A step that is abandoned or cancelled in any layer leaves the states, the snapshots and the pending
// tokens as they were.
func TestStepsThatEndEarlyLeaveTheStates(t *testing.T) {
	for _, policy := range []Policy{Static, Offloaded, Auto} {
		l := newLedger(t, ownCPU(t, 0), everyKind(policy))
		s := l.seq()
		l.grow(growth{s, 200})
		l.grow(growth{s, 50})
		f := l.fork(s)
		l.truncate(f, 240)
		for layer := range 6 {
			works := []growth{{s, 3}, {f, 70}}
			if err := l.step(t.Context(), layer, works...); !errors.Is(err, errAbandoned) {
				t.Fatal(err)
			}
			l.check()
			ctx, cancel := context.WithCancel(t.Context())
			l.during = func(_ *Step, at *Layer) {
				if at.Index == layer {
					cancel()
				}
			}
			if err := l.step(ctx, 7, works...); !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, cancelled in layer %d: %v", policy, layer, err)
			}
			cancel()
			l.during = nil
			l.check()
			if got, want := len(f.Pending()), 40; got != want {
				t.Fatalf("%v, cancelled in layer %d: %d tokens to be computed again; want %d", policy, layer, got, want)
			}
		}
		l.grow(growth{s, 3}, growth{f, 70})
		l.check()
		l.close()
	}
}

// Every allocation of a step may fail, and nothing has changed then.
func TestRefusedAllocationsLeaveTheStates(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Offloaded, Auto} {
		o := everyKind(policy)
		l := newLedger(t, ownCPU(t, 0), o)
		s := l.seq()
		l.grow(growth{s, 250})
		forks := []*Seq{s, l.fork(s), l.fork(s), l.seq()}
		l.truncate(forks[1], 240)
		l.drafts = func(n int) int { return 3 }
		works := []growth{{forks[0], 4}, {forks[1], 30}, {forks[2], 6}, {forks[3], 40}}
		refused := 0
		for ; ; refused++ {
			left := refused
			copied(l.pool) // or the copy of a snapshot would take memory meanwhile
			l.pool.hooks.alloc = func() error {
				if left--; left < 0 {
					return ggml.ErrNoMemory
				}
				return nil
			}
			err := l.step(t.Context(), 7, works...)
			copied(l.pool)
			l.pool.hooks.alloc = nil
			l.check()
			if err == nil {
				break
			}
			if !errors.Is(err, ErrNoMemory) {
				t.Fatal(err)
			}
		}
		if refused == 0 {
			t.Errorf("%v: no memory was needed: the test shows nothing", policy)
		}
		l.close()
	}
}

// copied waits until no snapshot of a pool is being copied.
func copied(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finishSnapshots()
}
