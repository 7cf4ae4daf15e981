package kv

import (
	"context"
	"errors"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func TestNoStepBeginsDuringATurn(t *testing.T) {
	r := newRig(t, testmodel.CPU(t, 1), rigOptions(Dynamic, 2, ggml.F32))
	defer r.close()
	seq := r.pool.NewSeq()
	done, err := r.pool.Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.pool.Turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a turn of somebody else: error %v", err)
	}
	if step, err := r.pool.Begin(ctx, []Work{{Seq: seq, Tokens: []int32{1}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a step %v: error %v", step, err)
	}
	done()
	done() // does nothing
	r.grow(growth{seq, 3})
	if _, err := r.pool.Turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a turn that was cancelled: error %v", err)
	}
	if err := r.pool.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pool.Turn(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a turn of a closed pool: error %v", err)
	}
}

// closer counts how often it is closed.
type closer int

func (c *closer) Close() error {
	*c++
	return nil
}

func TestWhatIsBesideASequenceIsClosedWithIt(t *testing.T) {
	r := newRig(t, testmodel.CPU(t, 1), rigOptions(Dynamic, 2, ggml.F32))
	defer r.close()
	var c closer
	seq := r.pool.NewSeq()
	r.grow(growth{seq, 3})
	if err := seq.PutBeside(&c); err != nil || seq.Beside() != &c {
		t.Fatalf("beside the sequence is %v, %v", seq.Beside(), err)
	}
	fork, err := seq.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if fork.Beside() != nil {
		t.Errorf("beside a fork is %v, want nothing", fork.Beside())
	}
	if err := fork.Close(); err != nil || c != 0 {
		t.Errorf("it was closed %d times with the fork, %v", c, err)
	}
	step, err := r.pool.Begin(t.Context(), []Work{{Seq: seq, Tokens: []int32{1}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(seq.Close(), seq.Close()); err != nil || c != 0 {
		t.Errorf("it was closed %d times during a step, %v", c, err)
	}
	if err := step.Close(); err != nil || c != 1 {
		t.Errorf("it was closed %d times after the step, %v; want once", c, err)
	}
	if err := seq.PutBeside(&c); !errors.Is(err, ErrClosed) {
		t.Errorf("beside a closed sequence: error %v", err)
	}
}
