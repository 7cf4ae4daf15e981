package kv

import (
	"context"
	"slices"
	"time"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// transfers are the copies of a step's visits on one device, and their order.
// The movers call them; what they read of the step does not change while it is
// open.
type transfers struct {
	step   *Step
	device *device
	trees  []stepTree // the step's, also when it is closed
	visits []visit
	slots  int // those visited
	walk   *walk
}

var _ copies = (*transfers)(nil)

// newTransfers lists the visits of a device's streamed layers. It returns nil if
// there is none.
func (s *Step) newTransfers(d *device) *transfers {
	t := &transfers{step: s, device: d, trees: slices.Clone(s.trees), visits: make([]visit, 0, len(d.layers)*len(s.trees))}
	for _, l := range d.layers {
		if !s.pool.homes[l].visits(s.kind) {
			continue
		}
		for tree := range s.trees {
			t.visits = append(t.visits, visit{layer: l, tree: tree})
		}
	}
	if len(t.visits) == 0 {
		return nil
	}
	t.slots = min(len(d.slots), len(t.visits))
	t.walk = newWalk(len(t.visits), t.slots)
	t.walk.broken, t.walk.unkept = s.pool.hooks.broken, !d.copies
	return t
}

// start sets the device's movers to work.
func (s *transfers) start(ctx context.Context) {
	s.step.copying.Add(1)
	s.device.in.start(func() {
		defer s.step.copying.Done()
		s.walk.bring(ctx, s)
	})
	if !s.device.copies {
		return // rows used in place are kept already
	}
	s.step.copying.Add(1)
	s.device.out.start(func() {
		defer s.step.copying.Done()
		s.walk.keep(ctx, s)
	})
}

// slotFor returns the slot of a visit.
func (s *transfers) slotFor(i int) *slot { return s.device.slots[i%s.slots] }

// keeper is where the rows of a layer are between steps: a tier, or a region in
// host memory.
type keeper interface {
	Fetch(ctx context.Context, layer, n int, dst tier.Memory) error
	Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error
}

// visited is a visit with all that its copies need.
type visited struct {
	stepTree
	layer int // of the model
	rows  keeper
	row   int // the layer's number there
	shape Shape
	slot  *slot
}

func (s *transfers) visit(i int) visited {
	v, p := s.visits[i], s.step.pool
	out := visited{
		stepTree: s.trees[v.tree], layer: v.layer, row: p.homes[v.layer].row,
		shape: p.opts.Layers[v.layer], slot: s.slotFor(i),
	}
	switch {
	case p.homes[v.layer].atHost:
		out.rows = out.regions[v.layer]
	case s.device.copies:
		out.rows = out.stepTree.rows[s.device.number]
	}
	return out
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
	if !s.device.copies {
		v.slot.holds = v.kept() // used in place, it will have the new rows too
		return nil
	}
	v.slot.holds = holding{} // until the new rows are among them
	from := v.before
	if len(s.step.chunks) == 1 {
		from = v.after // the graph writes the new cells before it reads any
	}
	v.slot.tidy(v.shape, from, v.after)
	return nil
}

// store keeps the new rows of a visit.
func (s *transfers) store(ctx context.Context, i int) error {
	v, p := s.visit(i), s.step.pool
	start, bytes := p.opts.Trace.Now(), int64(0)
	from := v.slot.views[v.shape]
	for _, w := range s.step.works {
		if s.trees[w.tree].tree != v.tree {
			continue
		}
		p.hooks.copying()
		if err := v.rows.Store(ctx, v.row, w.runs, from); err != nil {
			return err
		}
		n := int64(len(w.Tokens)) * from.layout.RowBytes()
		p.stored.Add(n)
		bytes += n
	}
	s.span(trace.Store, "store", v.layer, bytes, start, p.opts.Trace.Now())
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
	if v.slot.holds.covers(want) {
		return nil
	}
	v.slot.holds = holding{}
	if want.n > 0 {
		p := s.step.pool
		bytes := v.shape.layout(p.opts.TypeK, p.opts.TypeV).RowBytes() * int64(want.n)
		began, done, err := s.device.link.Transfer(free, bytes, func() error {
			if !s.device.copies {
				return nil
			}
			p.hooks.copying()
			v.slot.rows(v.shape, want.n)
			return v.rows.Fetch(ctx, v.row, want.n, v.slot.views[v.shape])
		})
		name := "fetch"
		if want == v.kept() {
			name = "fetch ahead"
		}
		s.span(trace.Fetch, name, v.layer, bytes, began, done) // one that was cut off took its time, too
		if err != nil {
			return err
		}
		v.slot.due = done
		p.fetches.Add(1)
		p.fetched.Add(bytes)
	}
	v.slot.holds = want
	return nil
}

// acquire waits until the rows of a visit are in its slot.
func (s *transfers) acquire(ctx context.Context, i int) error {
	defer s.waited(s.visits[i].layer, s.step.pool.opts.Trace.Now())
	if err := s.walk.acquire(ctx, i); err != nil {
		return err
	}
	return s.walk.until(ctx, s.slotFor(i).due)
}

// finish waits until all new rows are kept.
func (s *transfers) finish(ctx context.Context) error {
	defer s.waited(-1, s.step.pool.opts.Trace.Now())
	return s.walk.finish(ctx)
}

// atOnce is how long it may take to see that there is nothing to wait for.
const atOnce = 2 * time.Microsecond

// waited tells who traces that the computation has waited.
func (s *transfers) waited(layer int, start time.Time) {
	if s.step.pool.opts.Trace != nil && time.Since(start) > atOnce {
		s.span(trace.Compute, "wait", layer, 0, start, time.Now())
	}
}

// span tells who traces what took how long.
func (s *transfers) span(track trace.Track, name string, layer int, bytes int64, start, end time.Time) {
	if add := s.step.pool.opts.Trace; add != nil {
		add(trace.Span{
			Device: s.device.backend.Device().Name(), Track: track, Name: name, Layer: layer, Bytes: bytes, Start: start, End: end,
		})
	}
}

func (h *hooks) copying() {
	if h.beforeCopy != nil {
		h.beforeCopy()
	}
}
