package kv

import (
	"context"
	"time"
)

// transfers are the copies of a step's visits. The movers call them; what they
// read of the step does not change while it is open.
type transfers Step

var _ copies = (*transfers)(nil)

// visited is a visit with all that its copies need.
type visited struct {
	stepTree
	layer int // of the model
	row   int // the layer's number in the tier
	shape Shape
	slot  *slot
}

func (s *transfers) visit(i int) visited {
	v, p := s.visits[i], s.pool
	return visited{
		stepTree: s.trees[v.tree], layer: v.layer, row: p.tiered[v.layer],
		shape: p.opts.Layers[v.layer], slot: p.slots[p.place.slotFor(i)],
	}
}

// kept is what a slot holds once the visit's new rows are kept.
func (v visited) kept() holding {
	return holding{tree: v.tree, layer: v.layer, epoch: v.epoch, n: v.after}
}

// fetch brings the stable prefix: the rows that were there before the step. A
// slot that still has them, fetched ahead when the last step ended, is used as
// it is.
func (s *transfers) fetch(ctx context.Context, i int, free time.Time) error {
	v := s.visit(i)
	if err := s.bring(ctx, v, holding{tree: v.tree, layer: v.layer, epoch: v.epoch - 1, n: v.before}, free); err != nil {
		return err
	}
	if !s.pool.copies {
		v.slot.holds = v.kept() // used in place, it will have the new rows too
		return nil
	}
	v.slot.holds = holding{} // until the new rows are among them
	from := v.before
	if len(s.chunks) == 1 {
		from = v.after // the graph writes the new cells before it reads any
	}
	v.slot.tidy(v.shape, from, v.after)
	return nil
}

// store keeps the new rows of a visit.
func (s *transfers) store(ctx context.Context, i int) error {
	v, p := s.visit(i), s.pool
	from := v.slot.views[v.shape]
	for _, w := range s.works {
		if s.trees[w.tree].tree != v.tree {
			continue
		}
		p.hooks.copying()
		if err := v.rows.Store(ctx, v.row, w.runs, from); err != nil {
			return err
		}
		p.stored.Add(int64(len(w.Tokens)) * from.layout.RowBytes())
	}
	v.slot.holds = v.kept()
	if p.hooks.freed != nil {
		p.hooks.freed(v.slot)
	}
	return nil
}

// next brings what the following step will want first in a slot, should it be
// of the same trees.
func (s *transfers) next(ctx context.Context, slot int, free time.Time) error {
	v := s.visit(slot)
	return s.bring(ctx, v, v.kept(), free)
}

// bring fetches rows into a slot unless it has them.
func (s *transfers) bring(ctx context.Context, v visited, want holding, free time.Time) error {
	if v.slot.holds == want {
		return nil
	}
	v.slot.holds = holding{}
	if want.n > 0 {
		p := s.pool
		bytes := v.shape.layout(p.opts.TypeK, p.opts.TypeV).RowBytes() * int64(want.n)
		err := p.link.Pace(ctx, free, bytes, func() error {
			if !p.copies {
				return nil
			}
			p.hooks.copying()
			v.slot.rows(v.shape, want.n)
			return v.rows.Fetch(ctx, v.row, want.n, v.slot.views[v.shape])
		})
		if err != nil {
			return err
		}
		p.fetches.Add(1)
		p.fetched.Add(bytes)
	}
	v.slot.holds = want
	return nil
}

func (h *hooks) copying() {
	if h.beforeCopy != nil {
		h.beforeCopy()
	}
}
