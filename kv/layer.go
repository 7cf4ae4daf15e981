package kv

import (
	"context"

	"github.com/seed4d217819/ebb/ggml"
)

// Layer is one layer of a step, for as long as the loop's body runs.
type Layer struct {
	Index int

	step     *Step
	first    int // number of its first visit; -1: its rows are always there
	acquired int // trees acquired
	released int // trees released
}

// Rows are a layer's rows of one tree where the layer computes.
type Rows struct {
	ID   uint64       // no other rows ever have it
	K, V *ggml.Tensor // [head dim, cells, KV heads], every head's cells together
}

func (s *Step) newLayer(l int) Layer {
	layer := Layer{Index: l, step: s, first: -1}
	if s.walk != nil && !s.pool.place.Resident[l] {
		layer.first = s.pool.tiered[l] * len(s.trees)
	}
	return layer
}

// Acquire waits until the rows of a tree are where the layer computes. Trees
// are acquired in order; doing so says that the ones before have been computed.
func (l *Layer) Acquire(ctx context.Context, tree int) error {
	if l.first < 0 {
		return ctx.Err()
	}
	for l.acquired <= tree {
		if l.released < l.acquired {
			l.released++
			l.step.walk.release()
		}
		if err := l.step.walk.acquire(ctx, l.first+l.acquired); err != nil {
			return err
		}
		l.acquired++
	}
	return ctx.Err()
}

// release says that all of the layer has been computed.
func (l *Layer) release(ctx context.Context) error {
	if err := l.Acquire(ctx, len(l.step.trees)-1); err != nil {
		return err
	}
	if l.released < l.acquired {
		l.released++
		l.step.walk.release()
	}
	return nil
}

// Rows returns the rows of a tree, whether or not they have arrived yet.
func (l *Layer) Rows(tree int) Rows {
	r := l.step.trees[tree].regions[l.Index]
	if r == nil {
		p := l.step.pool
		r = p.slots[p.place.slotFor(l.first+tree)].views[p.opts.Layers[l.Index]]
	}
	return Rows{ID: r.id, K: r.k, V: r.v}
}
