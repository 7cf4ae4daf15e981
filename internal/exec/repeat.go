package exec

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// OfEngine returns the runner of an *ebb.Engine. Package ebb sets it when the program starts:
// Repeat is no part of its API, and package measure needs it.
var OfEngine func(engine any) *Runner

// SetISA sets the instruction set of ebb's kernels in an *ebb.Options, whatever EBB_ISA names, so
// that engines with different ones can take turns in one process. Package ebb sets it as it does
// OfEngine.
var SetISA func(options any, set isa.ISA)

// Repeat appends n tokens to a sequence without computing them: it repeats the tokens that the
// sequence holds, from the first on, and copies their K/V; where a ring has lost those, other rows of
// the ring. The states of recurrent layers stay as they are. The text that follows makes no sense, as
// the keys are those of other positions. Benchmarks use it to reach a depth that would take long to
// compute. The sequence must hold a token and have no forks. Tokens of it that are to be computed again
// are computed, and the first of the n with them. After an error it is as it was, or longer by some of
// the n.
func (r *Runner) Repeat(ctx context.Context, seq *kv.Seq, n int) error {
	if n > 0 && seq.Len() == 0 {
		return errors.New("ebb: repeat: the sequence is empty")
	}
	if n > 0 && seq.PendingLen() > 0 {
		if _, err := r.Forward(ctx, []kv.Work{{Seq: seq, Tokens: seq.Tokens()[:1]}}, nil); err != nil {
			return fmt.Errorf("ebb: repeat: %w", err)
		}
		n--
	}
	tokens := seq.Tokens()
	period := min(len(tokens), r.pool.StepTokens())
	most := period // in a step: each moves all streamed rows, so what is repeated already is repeated too
	if period == len(tokens) {
		most = r.pool.StepTokens() / period * period
	}
	for n > 0 {
		take := min(n, len(tokens)/period*period, most)
		if err := r.repeat(ctx, kv.Work{Seq: seq, Tokens: tokens[:take]}); err != nil {
			return fmt.Errorf("ebb: repeat: %w", err)
		}
		tokens = append(tokens, tokens[:take]...)
		n -= take
	}
	return nil
}

// repeat takes one step, and copies its rows from the first cells instead of computing them.
func (r *Runner) repeat(ctx context.Context, w kv.Work) (err error) {
	defer recoverMisuse(&err)
	step, err := r.pool.Begin(ctx, []kv.Work{w})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, step.Close()) }()
	for i, cell := range step.Cells() {
		if cell != int64(step.Positions()[i]) {
			return errors.New("the sequence shares its cells with others")
		}
	}
	for layer, err := range step.Layers(ctx) {
		if err != nil {
			return err
		}
		if err := r.repeatRows(ctx, step, layer); err != nil {
			return err
		}
	}
	return step.Commit()
}

// repeatRows copies the rows of a layer, chunk by chunk, to the places of the step's tokens, and its
// states to where the step writes them.
func (r *Runner) repeatRows(ctx context.Context, step *kv.Step, layer *kv.Layer) error {
	b, rows := r.devices.layers[layer.Index].backend, layer.Rows(0)
	places := step.Places(r.config.Layers[layer.Index].Window)
	for i, c := range step.Chunks() {
		if err := layer.Prepare(ctx, i); err != nil {
			return err
		}
		if states := layer.States().T; states != nil {
			for _, s := range step.Recurrences(i) {
				if err := copyCells(b, states, int64(s.From), int64(s.To[0]), 1); err != nil {
					return err
				}
			}
		}
		if rows.K == nil {
			continue // the layer keeps no rows
		}
		for first, end := c.First, c.First+c.N; first < end; {
			n := 1
			for first+n < end && places[first+n] == places[first]+int64(n) {
				n++
			}
			from := int64(first)
			if have := rows.K.Ne(1); from+int64(n) > have { // of a ring
				from = min(from%have, have-int64(n))
			}
			for _, t := range []*ggml.Tensor{rows.K, rows.V} {
				if err := copyCells(b, t, from, places[first], int64(n)); err != nil {
					return err
				}
			}
			first += n
		}
	}
	return nil
}

// copyCells copies n cells of K or V, [headDim, cells, kvHeads], from one cell on to those from another
// on; of states, [values, places], places.
func copyCells(b *ggml.Backend, t *ggml.Tensor, from, to, n int64) error {
	heads, size := int(t.Ne(2)), n*t.Nb(1)
	between, err := b.Alloc(b.PlainHostBufferType(), size*int64(heads), ggml.HostRows)
	if err != nil {
		return err
	}
	defer between.Close()
	t.Get2D(between.Bytes(), from*t.Nb(1), size, heads, t.Nb(2), size)
	t.Set2D(between.Bytes(), to*t.Nb(1), size, heads, t.Nb(2), size)
	return nil
}
