package kv

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// streaming returns a ledger of a cache in which rows move, for up to 300 tokens.
func streaming(t *testing.T) *ledger {
	t.Helper()
	o := uniform(Offloaded, 5, 300)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	return l
}

func TestFullChangesNothingAndTruncateMakesRoom(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Static, Offloaded, OffloadedStatic} {
		t.Run(policy.String(), func(t *testing.T) {
			o := uniform(policy, 3, 300)
			o.ForcedCopies = true
			l := newLedger(t, ownCPU(t, 0), o)
			defer l.close()
			a, b := l.seq(), l.seq()
			l.grow(growth{a, 295}, growth{b, 5})
			before := l.pool.Stats()

			all := len(o.Layers) + 1
			for _, works := range [][]growth{{{a, 6}}, {{b, 1}, {a, 6}}, {{a, 301}}} {
				if err := l.step(t.Context(), all, works...); !errors.Is(err, ErrFull) {
					t.Fatalf("%d tokens into room for 5: %v; want %v", works[len(works)-1].n, err, ErrFull)
				}
			}
			if got := l.pool.Stats(); got.Steps != before.Steps || got.DeviceBytes != before.DeviceBytes || got.HostBytes != before.HostBytes {
				t.Errorf("after ErrFull: %+v; want %+v", got, before)
			}
			l.check()

			l.grow(growth{a, 5}) // just full
			l.truncate(a, 200)
			l.grow(growth{a, 100}, growth{b, 1})
			l.check()
		})
	}
}

func TestBeginRefusesBatchesThatMakeNoStep(t *testing.T) {
	l := streaming(t)
	other := streaming(t)
	s, closed := l.seq(), l.pool.NewSeq()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	one := []int32{1}
	tests := []struct {
		name  string
		batch []Work
		want  string
	}{
		{"empty", nil, "empty batch"},
		{"no sequence", []Work{{Tokens: one}}, "work 0: its sequence is not of this pool"},
		{"another pool's", []Work{{Seq: s, Tokens: one}, {Seq: other.seq(), Tokens: one}}, "work 1: its sequence is not of this pool"},
		{"closed", []Work{{Seq: closed, Tokens: one}}, "work 0: kv: closed"},
		{"no tokens", []Work{{Seq: s}}, "work 0: no tokens"},
		{"more logits than tokens", []Work{{Seq: s, Tokens: one, Logits: 2}}, "logits of 2 tokens wanted of 1"},
		{"fewer than none", []Work{{Seq: s, Tokens: one, Logits: -1}}, "logits of -1"},
		{"twice", []Work{{Seq: s, Tokens: one}, {Seq: s, Tokens: one}}, "works 0 and 1 are of the same sequence"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			step, err := l.pool.Begin(t.Context(), tt.batch)
			if err == nil {
				step.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
		})
	}
	if _, err := l.pool.Begin(t.Context(), tests[3].batch); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed sequence: %v; want %v", err, ErrClosed)
	}
	l.grow(growth{s, 1}) // none of them keeps the pool's turn
}

func TestStepOfTooManyTokensIsRefused(t *testing.T) {
	o := uniform(Static, 1, 300)
	o.StepTokens = 64
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	if err := l.step(t.Context(), 2, growth{s, 65}); err == nil || !strings.Contains(err.Error(), "at most 64; split the prompt") {
		t.Errorf("65 tokens: %v; want an error that says 64", err)
	}
	l.grow(growth{s, 64})
}

func begin(t *testing.T, p *Pool, works ...Work) *Step {
	t.Helper()
	s, err := p.Begin(t.Context(), works)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestBeginWaitsItsTurn(t *testing.T) {
	l := streaming(t)
	a, b := l.seq(), l.seq()
	first := begin(t, l.pool, Work{Seq: a, Tokens: []int32{1}})

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := l.pool.Begin(ctx, []Work{{Seq: b, Tokens: []int32{1}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Begin during a step: %v; want %v", err, context.DeadlineExceeded)
	}

	second := make(chan error)
	go func() { second <- l.step(context.Background(), 6, growth{b, 3}) }()
	select {
	case err := <-second:
		t.Fatalf("the second step did not wait: %v", err)
	case <-time.After(5 * time.Millisecond):
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	l.check()
}

func TestBeginOfACancelledContextBeginsNothing(t *testing.T) {
	l := streaming(t)
	s := l.seq()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // it may find its turn and the cancellation at once
		if err := l.step(ctx, 6, growth{s, 1}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v; want %v", err, context.Canceled)
		}
	}
	l.grow(growth{s, 1})
	l.check()
}

func TestSequencesInAStepCannotChange(t *testing.T) {
	l := streaming(t)
	a, b := l.seq(), l.seq()
	l.grow(growth{a, 10}, growth{b, 10})
	step := begin(t, l.pool, Work{Seq: a, Tokens: []int32{1}})
	if err := a.Truncate(5); err == nil || !strings.Contains(err.Error(), "close the step first") {
		t.Errorf("Truncate: %v; want an error that says what to do", err)
	}
	if _, err := a.Fork(); err == nil || !strings.Contains(err.Error(), "close the step first") {
		t.Errorf("Fork: %v; want an error that says what to do", err)
	}
	l.truncate(b, 5) // others can
	l.fork(b)
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	l.truncate(a, 5)
	l.check()
}

func TestTruncateAndForkOfTheImpossible(t *testing.T) {
	l := streaming(t)
	s := l.seq()
	l.grow(growth{s, 10})
	for _, n := range []int{-1, 11} {
		if err := s.Truncate(n); err == nil || !strings.Contains(err.Error(), "the sequence has 10 tokens") {
			t.Errorf("truncate to %d: %v; want an error that says there are 10", n, err)
		}
	}
	l.closeSeq(s)
	if err := s.Truncate(0); !errors.Is(err, ErrClosed) {
		t.Errorf("truncate of a closed sequence: %v; want %v", err, ErrClosed)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestCloseOfASequenceInAStepWaitsForItsEnd(t *testing.T) {
	for _, commit := range []bool{false, true} {
		l := streaming(t)
		a, b := l.seq(), l.seq()
		l.grow(growth{a, 10}, growth{b, 10})
		l.during = func(_ *Step, layer *Layer) {
			if layer.Index == 2 {
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		layers := 4
		if commit {
			layers = 6
		}
		err := l.step(t.Context(), layers, growth{b, 1}, growth{a, 1}) // its rows are still checked
		if commit && err != nil || !commit && !errors.Is(err, errAbandoned) {
			t.Fatalf("commit %v: %v", commit, err)
		}
		l.during = nil
		delete(l.tokens, a)
		if a.Len() != 0 {
			t.Errorf("commit %v: the closed sequence has %d tokens; want 0", commit, a.Len())
		}
		l.check()
		if got, want := l.pool.Stats().HostBytes, int64(5*256*rowBytes); got != want {
			t.Errorf("commit %v: %d bytes in host memory; want %d, the other's", commit, got, want)
		}
		l.grow(growth{b, 1})
	}
}

func TestCloseOfAnotherSequenceInTheLoopFreesItAtTheEnd(t *testing.T) {
	l := streaming(t)
	a, b, fork := l.seq(), l.seq(), (*Seq)(nil)
	l.grow(growth{a, 10}, growth{b, 10})
	fork = l.fork(a)
	l.grow(growth{fork, 3})
	l.during = func(_ *Step, layer *Layer) {
		if layer.Index == 1 {
			l.closeSeq(b)    // another tree
			l.closeSeq(fork) // of the same
		}
	}
	l.grow(growth{a, 5})
	l.during = nil
	l.check()
	if got, want := l.pool.Stats().HostBytes, int64(5*256*rowBytes); got != want {
		t.Errorf("%d bytes in host memory; want %d", got, want)
	}
	l.grow(growth{a, 1})
	l.check()
}

func TestCommitNeedsEveryLayer(t *testing.T) {
	l := streaming(t)
	s := l.seq()
	step := begin(t, l.pool, Work{Seq: s, Tokens: []int32{1}})
	if err := step.Commit(); err == nil || !strings.Contains(err.Error(), "0 of 5 layers") {
		t.Errorf("commit at once: %v; want an error", err)
	}
	for layer, err := range step.Layers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if layer.Index == 3 {
			break
		}
	}
	if err := step.Commit(); err == nil || !strings.Contains(err.Error(), "3 of 5 layers") {
		t.Errorf("commit after a break: %v; want an error", err)
	}
	for _, err := range step.Layers(t.Context()) {
		if err == nil {
			t.Fatal("the layers of a step can be gone through again")
		}
	}
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	if err := step.Commit(); err == nil {
		t.Error("commit of a closed step: no error")
	}
	for _, err := range step.Layers(t.Context()) {
		if err == nil {
			t.Fatal("the layers of a closed step can be gone through")
		}
	}
	if s.Len() != 0 {
		t.Errorf("the sequence has %d tokens; want 0", s.Len())
	}
	l.grow(growth{s, 1})
}

func TestCommitTwiceIsAnError(t *testing.T) {
	l := streaming(t)
	s := l.seq()
	step := begin(t, l.pool, Work{Seq: s, Tokens: []int32{1}})
	for _, err := range step.Layers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := step.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := step.Commit(); err == nil {
		t.Error("the second Commit: no error")
	}
	for range 2 {
		if err := step.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if s.Len() != 1 {
		t.Errorf("the sequence has %d tokens; want 1", s.Len())
	}
}

func TestClosedPoolBeginsNothingAndIsClosedOnce(t *testing.T) {
	l := streaming(t)
	a, b := l.seq(), l.seq()
	l.grow(growth{a, 10}, growth{b, 10})
	for range 2 {
		if err := l.pool.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if got := l.pool.Stats(); got.DeviceBytes != 0 || got.HostBytes != 0 {
		t.Errorf("closed with sequences open: %d and %d bytes; want 0", got.DeviceBytes, got.HostBytes)
	}
	for _, s := range []*Seq{a, l.pool.NewSeq()} {
		if _, err := l.pool.Begin(t.Context(), []Work{{Seq: s, Tokens: []int32{1}}}); !errors.Is(err, ErrClosed) {
			t.Errorf("Begin: %v; want %v", err, ErrClosed)
		}
	}
	if err := a.Truncate(3); err != nil || a.Len() != 3 {
		t.Errorf("a sequence that outlives its pool: %d tokens, %v; want 3", a.Len(), err)
	}
}

func TestPoolCloseWaitsForTheStep(t *testing.T) {
	l := streaming(t)
	step := begin(t, l.pool, Work{Seq: l.seq(), Tokens: []int32{1}})
	closed := make(chan error)
	go func() { closed <- l.pool.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed during a step: %v", err)
	case <-time.After(5 * time.Millisecond):
	}
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Whatever ends a step, nothing runs on after the pool was closed.
func TestNoGoroutineOutlivesThePool(t *testing.T) {
	b := ownCPU(t, 0)
	settled := func() int {
		n := runtime.NumGoroutine()
		for range 200 {
			time.Sleep(5 * time.Millisecond)
			now := runtime.NumGoroutine()
			if now >= n {
				break
			}
			n = now
		}
		return n
	}
	before := settled()
	for range 10 {
		o := uniform(Offloaded, 5, 300)
		o.ForcedCopies, o.Link = true, 1e6
		l := newLedger(t, b, o)
		s := l.seq()
		l.grow(growth{s, 50})
		if err := l.step(t.Context(), 2, growth{s, 1}); !errors.Is(err, errAbandoned) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		l.during = func(_ *Step, layer *Layer) {
			if layer.Index == 1 {
				cancel()
			}
		}
		if err := l.step(ctx, 6, growth{s, 1}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		l.during = nil
		l.grow(growth{s, 1})
		l.close()
	}
	if after := settled(); after > before {
		t.Errorf("%d goroutines; want %d as before", after, before)
	}
}
