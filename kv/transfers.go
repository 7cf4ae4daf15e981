package kv

import (
	"context"
	"slices"
	"time"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// transfers are the copies of a step's visits on one device, and their order. The movers call them.
// The parts of the step that they read do not change while it is open.
type transfers struct {
	step   *Step
	device *device
	trees  []stepTree // the step's, also when it is closed
	visits []visit
	slots  int   // those visited
	common []int // by tree: cells whose rows are those of the tree that is in its slot before
	walk   *walk
}

var _ copies = (*transfers)(nil)

// newTransfers lists the visits of a device's streamed layers. It returns nil if there is none.
func (s *Step) newTransfers(d *device) *transfers {
	layers := d.placement.Layers
	t := &transfers{step: s, device: d, trees: slices.Clone(s.trees), visits: make([]visit, 0, len(layers)*len(s.trees))}
	for _, l := range layers {
		if !s.pool.placed[l].visits(s.kind) {
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
	t.compare()
	t.walk = newWalk(len(t.visits), t.slots, min(len(d.in), t.slots))
	t.walk.broken, t.walk.inPlace = s.pool.hooks.broken, !d.copies
	return t
}

// start sets the device's movers to work.
func (t *transfers) start(ctx context.Context) {
	for lane := range t.walk.lanes {
		t.step.copying.Add(1)
		t.device.in[lane].start(func() {
			defer t.step.copying.Done()
			t.walk.fetchAll(ctx, t, lane)
		})
	}
	if !t.device.copies {
		return // rows used in place are stored already
	}
	t.step.copying.Add(1)
	t.device.out.start(func() {
		defer t.step.copying.Done()
		t.walk.storeAll(ctx, t)
	})
}

// slotOf returns the slot of a visit.
func (t *transfers) slotOf(i int) *slot { return t.device.slots[i%t.slots] }

// storage is where the rows of a layer are between steps: a tier, or a region in host memory.
type storage interface {
	Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error
	Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error
}

// transfer is a visit with everything that its copies need.
type transfer struct {
	stepTree
	kept   holding // of what the visit before has left in the slot, the rows that are this one's, too
	layer  int     // of the model
	from   storage // nil: the rows are used in place
	number int     // the layer's there
	shape  Shape
	slot   *slot
}

func (t *transfers) transfer(i int) transfer {
	v, p := t.visits[i], t.step.pool
	out := transfer{
		stepTree: t.trees[v.tree], layer: v.layer, number: p.placed[v.layer].tierLayer,
		shape: p.config.shapes[v.layer], slot: t.slotOf(i),
	}
	switch {
	case p.placed[v.layer].onHost:
		out.from = out.regions[v.layer]
	case t.device.copies:
		out.from = out.rows[t.device.number]
		out.kept = t.kept(v)
	}
	return out
}

// prefix returns what a slot holds once the rows from before the step are there.
func (v transfer) prefix() holding {
	return holding{tree: v.tree, layer: v.layer, epoch: v.epoch - 1, n: v.before}
}

// all returns what a slot holds once the visit's new rows are stored.
func (v transfer) all() holding {
	return holding{tree: v.tree, layer: v.layer, epoch: v.epoch, n: v.after}
}

// fetch copies the stable prefix to the slot: the rows that were there before the step. A slot that
// still has them, from a fetch ahead when the last step ended, is used as it is.
func (t *transfers) fetch(ctx context.Context, i int, free time.Time) error {
	v := t.transfer(i)
	if err := t.fill(ctx, v, v.prefix(), "fetch", free); err != nil {
		return err
	}
	if !t.device.copies {
		v.slot.holds = v.all() // used in place, it will have the new rows too
		return nil
	}
	v.slot.holds = holding{} // until the new rows are among them
	from := v.before
	if len(t.step.chunks) == 1 {
		from = v.after // the graph writes the new cells before it reads any
	}
	v.slot.zeroPadding(v.shape, from, v.after)
	return nil
}

// store copies the new rows of a visit to their storage.
func (t *transfers) store(ctx context.Context, i int) error {
	v, p := t.transfer(i), t.step.pool
	start, bytes := p.config.trace.Now(), int64(0)
	rows := v.slot.views[v.shape]
	for i := range t.step.works {
		w := &t.step.works[i]
		if t.trees[w.tree].tree != v.tree {
			continue
		}
		p.hooks.copying()
		if err := v.from.Store(ctx, v.number, w.runs, rows); err != nil {
			return err
		}
		n := int64(len(w.Tokens)) * rows.layout.RowBytes()
		p.stored.Add(n)
		bytes += n
	}
	t.span(trace.Store, "store", v.layer, bytes, start, p.config.trace.Now())
	v.slot.holds = v.all()
	if p.hooks.freed != nil {
		p.hooks.freed(v.slot)
	}
	return nil
}

// fetchAhead fetches the rows that the next step will want first in a slot, if it is of the same
// trees.
func (t *transfers) fetchAhead(ctx context.Context, slot int, free time.Time) error {
	v := t.transfer(slot)
	return t.fill(ctx, v, v.all(), "fetch ahead", free)
}

// fill fetches rows into the slot of a visit unless it has them. Those that the tree before has in common
// with this one stay where they are.
func (t *transfers) fill(ctx context.Context, v transfer, want holding, what string, free time.Time) error {
	if v.slot.holds.covers(want) {
		return nil
	}
	first := 0
	if v.kept.n > 0 && v.slot.holds.covers(v.kept) {
		first = min(v.kept.n, want.n)
	}
	v.slot.holds = holding{}
	if want.n > first {
		if r := v.restoring.Load(); r != nil {
			if err := r.await(ctx, v.layer); err != nil {
				return err
			}
			free = time.Now() // a link cannot have begun before
		}
		p := t.step.pool
		bytes := p.config.layouts[v.layer].RowBytes() * int64(want.n-first)
		began, done, err := t.device.link.Transfer(free, bytes, func() error {
			if !t.device.copies {
				return nil
			}
			p.hooks.copying()
			v.slot.noteRows(v.shape, want.n)
			return v.from.Fetch(ctx, v.number, tier.Run{Start: first, N: want.n - first}, v.slot.views[v.shape])
		})
		t.fetchSpan(what, v.layer, bytes, began, done) // one that was cut off took its time, too
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
func (t *transfers) acquire(ctx context.Context, i int) error {
	defer t.waited(t.visits[i].layer, t.step.pool.config.trace.Now())
	if err := t.walk.acquire(ctx, i); err != nil {
		return err
	}
	return t.walk.waitUntil(ctx, t.slotOf(i).due)
}

// finish waits until all new rows are stored.
func (t *transfers) finish(ctx context.Context) error {
	defer t.waited(-1, t.step.pool.config.trace.Now())
	return t.walk.finish(ctx)
}

// atOnce is the longest time that still counts as not having waited.
const atOnce = 2 * time.Microsecond

// waited records a span for the time since start, in which the computation has waited.
func (t *transfers) waited(layer int, start time.Time) {
	if t.step.pool.config.trace != nil && time.Since(start) > atOnce {
		t.span(trace.Compute, "wait", layer, 0, start, time.Now())
	}
}

// fetchSpan records a fetch. Where the lanes' fetches overlap, the earlier one has the time: the spans
// of a track do not overlap.
func (t *transfers) fetchSpan(what string, layer int, bytes int64, start, end time.Time) {
	if t.step.pool.config.trace == nil {
		return
	}
	d := t.device
	d.spans.Lock()
	defer d.spans.Unlock()
	if start.Before(d.fetchedUntil) {
		start = d.fetchedUntil
	}
	if end.Before(start) {
		end = start
	}
	d.fetchedUntil = end
	t.span(trace.Fetch, what, layer, bytes, start, end)
}

// span records a span of the trace.
func (t *transfers) span(track trace.Track, name string, layer int, bytes int64, start, end time.Time) {
	t.step.pool.span(t.device, track, name, layer, bytes, start, end)
}

func (p *Pool) span(d *device, track trace.Track, name string, layer int, bytes int64, start, end time.Time) {
	if add := p.config.trace; add != nil {
		add(trace.Span{
			Device: d.backend.Device().Name(), Track: track, Name: name, Layer: layer, Bytes: bytes, Start: start, End: end,
		})
	}
}

func (h *hooks) copying() {
	if h.beforeCopy != nil {
		h.beforeCopy()
	}
}
