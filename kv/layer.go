package kv

import (
	"context"

	"github.com/seed4d217819/ebb/ggml"
)

// Layer is one layer of a step, for as long as the loop's body runs.
type Layer struct {
	Index int

	step     *Step
	copies   *transfers // of its device; nil: the rows do not visit it
	first    int        // number of its first visit
	acquired int        // trees acquired
	released int        // trees released
}

// Rows are a layer's rows of one tree where the layer computes.
type Rows struct {
	ID   uint64       // no other rows ever have it
	K, V *ggml.Tensor // [head dim, cells, KV heads], every head's cells together
}

func (s *Step) newLayer(l int) Layer {
	p := s.pool.placed[l]
	if !p.visits(s.kind) {
		return Layer{Index: l, step: s}
	}
	return Layer{Index: l, step: s, copies: s.copies[p.device.number], first: p.visitor[s.kind] * len(s.trees)}
}

// Acquire waits until the rows of a tree are where the layer computes. Trees are acquired in order,
// and a tree is acquired when the trees before it have been computed.
func (l *Layer) Acquire(ctx context.Context, tree int) error {
	for l.acquired <= tree {
		l.releaseLast()
		if err := l.await(ctx, l.acquired); err != nil {
			return err
		}
		l.acquired++
	}
	return ctx.Err()
}

// await waits until the rows of one tree are where the layer computes. Rows that visit the layer are
// fetched once they are restored; others are awaited here.
func (l *Layer) await(ctx context.Context, tree int) error {
	if l.copies == nil {
		return l.step.awaitRestored(ctx, tree, l.Index)
	}
	return l.copies.acquire(ctx, l.first+tree)
}

// releaseLast says that the layer has been computed for the tree that was acquired last.
func (l *Layer) releaseLast() {
	if l.released == l.acquired {
		return
	}
	l.released++
	if l.copies != nil {
		l.copies.walk.release()
	}
}

// release says that the layer has been computed for all trees.
func (l *Layer) release(ctx context.Context) error {
	if err := l.Acquire(ctx, len(l.step.trees)-1); err != nil {
		return err
	}
	l.releaseLast()
	return nil
}

// States returns the states of all sequences in a recurrent layer.
func (l *Layer) States() States {
	p := l.step.pool
	switch s := p.states; {
	case s == nil:
		return States{}
	case s.memory[l.Index].off:
		return p.placed[l.Index].device.stage.States
	default:
		return s.memory[l.Index].States
	}
}

// HostAttention reports whether the layer's attention is computed on the host in this step: its
// rows are there, and its device has memory of its own.
func (l *Layer) HostAttention() bool {
	return l.step.pool.placed[l.Index].onHost && l.step.kind == hostStep
}

// InPlace reports whether the rows of all trees are where the layer computes and none is copied there, so
// that one operation may attend to all once they have been acquired.
func (l *Layer) InPlace() bool { return l.copies == nil || !l.copies.device.copies }

// rows returns the layer whose rows the layer uses.
func (l *Layer) rows() int { return l.step.pool.placed[l.Index].rows }

// Parts returns a chunk's parts with the layer's rows, whether or not they have arrived yet,
// appended to parts.
func (l *Layer) Parts(chunk int, parts []Part) []Part {
	these := l.step.chunks[chunk].Parts
	if number := l.step.pool.placed[l.rows()].ring; number != nowhere {
		these = l.step.partsIn(chunk, number)
	}
	for _, p := range these {
		p.Rows = l.Rows(p.Tree)
		parts = append(parts, p)
	}
	return parts
}

// Rows returns the rows of a tree, whether or not they have arrived yet. Those of a layer that shares
// another's have been written already.
func (l *Layer) Rows(tree int) Rows {
	of := l.rows()
	if !l.step.pool.config.shapes[l.Index].attends() {
		return Rows{}
	}
	r := l.step.trees[tree].regions[of]
	if l.step.pool.placed[of].ring != nowhere {
		r = l.step.trees[tree].ringRows[of]
	}
	if l.copies != nil && l.copies.device.copies {
		r = l.copies.slotOf(l.first + tree).views[l.step.pool.config.shapes[l.Index]]
	}
	return Rows{ID: r.id, K: r.k, V: r.v}
}
