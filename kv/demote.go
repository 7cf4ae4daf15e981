package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// reach gives trees the room of a goal: layers leave first, so that there is room to grow. An error
// leaves every row where it was, or where it went. If a device refuses memory, it is a
// [*refusalError].
func (p *Pool) reach(ctx context.Context, g goal, demands []demand, left *departure) error {
	for n, d := range p.devices {
		if err := p.demote(ctx, d, g.placements[n], left); err != nil {
			return err
		}
	}
	for _, want := range demands {
		if err := p.openTree(ctx, want); err != nil {
			return err
		}
	}
	largest := slices.Max(g.rooms())
	for _, d := range p.devices {
		if err := p.fitSlots(d, largest); err != nil {
			return err
		}
	}
	for _, grow := range []bool{false, true} { // trees that give room first
		for t, cells := range g.cells {
			if more := cells > t.room; more != grow || !more && cells == t.largest() {
				continue
			}
			if err := p.resize(ctx, t, cells); err != nil {
				return err
			}
		}
	}
	return nil
}

// demote takes from a device the layers that are not resident in a placement any more. Their rows of
// all trees are stored in tiers before the first region is freed.
func (p *Pool) demote(ctx context.Context, d *device, to plan.Placement, left *departure) error {
	var leaving []int // numbers of layers on the device
	for i, resident := range d.placement.Resident {
		if resident && !to.Resident[i] {
			leaving = append(leaving, i)
		}
	}
	if to.StatesOff > 0 && d.placement.StatesOff == 0 {
		if err := p.statesLeave(d, left); err != nil {
			return fmt.Errorf("kv: states that leave %s: %w", d.backend.Device().Name(), err)
		}
	}
	if leaving == nil {
		d.placement = to
		return nil
	}
	rows, err := p.storeAll(ctx, d, leaving)
	if err != nil {
		for _, r := range rows {
			err = errors.Join(err, p.change(r.Close))
		}
		return fmt.Errorf("kv: layers that leave %s: %w", d.backend.Device().Name(), err)
	}
	for t, r := range rows {
		t.rows[d.number].(*joined).add(r, leaving)
		for _, i := range leaving {
			l := d.placement.Layers[i]
			if r := t.regions[l]; r != nil { // a tree that is being opened may have none yet
				r.close()
			}
			t.regions[l] = nil
		}
	}
	d.closeSlots()
	d.waves = append(d.waves, leaving)
	d.placement = to
	p.locate(d)
	p.measureSlots() // none has room until fitSlots makes new ones
	p.countLayers()
	if len(rows) > 0 {
		left.add(d, leaving, rows)
	}
	return nil
}

// storeAll stores the rows of layers of a device in tiers, one for each tree that has memory. It
// returns those that it opened, also with an error.
func (p *Pool) storeAll(ctx context.Context, d *device, layers []int) (map[*tree]tier.Tier, error) {
	rows := map[*tree]tier.Tier{}
	for t := range p.trees {
		if t.regions == nil {
			continue
		}
		if err := t.untilRestored(ctx); err != nil {
			return rows, err
		}
		to := p.newRows(d, layers)
		rows[t] = to
		err := p.change(func() error { return to.Reserve(ctx, max(min(t.reserved, p.config.cells), plan.WholeBlocks(t.high))) })
		if err != nil {
			return rows, allocation(err)
		}
		if t.high == 0 {
			continue
		}
		for i, number := range layers {
			l, start := d.placement.Layers[number], p.config.trace.Now()
			p.hooks.copying()
			if err := to.Store(ctx, i, []tier.Run{{N: t.high}}, t.regions[l]); err != nil {
				return rows, err
			}
			bytes := int64(t.high) * p.config.layouts[l].RowBytes()
			p.stored.Add(bytes)
			p.span(d, trace.Store, "demote", l, bytes, start, p.config.trace.Now())
		}
		if t.final == 0 {
			continue
		}
		if err := p.change(func() error { return to.Seal(ctx, t.final) }); err != nil {
			return rows, allocation(err)
		}
	}
	return rows, nil
}

// newRows makes a tier for layers of a device.
func (p *Pool) newRows(d *device, layers []int) tier.Tier {
	var layouts []tier.Layout
	for _, i := range layers {
		layouts = append(layouts, p.config.layouts[d.placement.Layers[i]])
	}
	return p.config.newTier(layouts, func(bytes int64) (tier.Buffer, error) { return p.hostBuffer(d, bytes) })
}

// openTree prepares a tree that has no memory yet, and gives its tiers room.
func (p *Pool) openTree(ctx context.Context, want demand) error {
	t := want.tree
	if t.regions == nil {
		p.countLayers()
		t.regions, t.rows, t.reserved = make([]*region, len(p.placed)), make([]tier.Tier, len(p.devices)), 0
		for n, d := range p.devices {
			rows := &joined{}
			for _, wave := range d.waves {
				rows.add(p.newRows(d, wave), wave)
			}
			t.rows[n] = rows
		}
	}
	if err := p.openRings(t); err != nil {
		return err
	}
	if cells := min(plan.WholeBlocks(want.cells), p.config.cells); cells > t.reserved {
		return p.change(func() error { return t.reserve(ctx, cells) })
	}
	return nil
}

// fitSlots makes the slots of a device anew, if they have not the room of some cells: larger ones would
// take more memory than was counted.
func (p *Pool) fitSlots(d *device, cells int) error {
	if len(d.slots) == d.placement.Slots && (d.placement.Slots == 0 || d.slotCells == cells) {
		return nil
	}
	d.closeSlots()
	d.slotCells = cells
	for range d.placement.Slots {
		s, err := p.newSlot(d)
		if err != nil {
			d.closeSlots()
			p.measureSlots()
			return asRefusal(d, d.slotBytes(), err)
		}
		d.slots = append(d.slots, s)
	}
	p.measureSlots()
	return nil
}

// measureSlots notes how large a tree may be for its streamed layers to visit all devices.
func (p *Pool) measureSlots() {
	p.slotCells = math.MaxInt
	for _, d := range p.devices {
		switch {
		case d.placement.Slots == 0:
		case len(d.slots) < d.placement.Slots:
			p.slotCells = -1
		default:
			p.slotCells = min(p.slotCells, d.slotCells)
		}
	}
}

// resize gives the regions of a tree room for some cells, one after the other. After an error some
// regions have it, and the tree has as much room as the smallest may have.
func (p *Pool) resize(ctx context.Context, t *tree, cells int) error {
	t.room = min(t.room, cells)
	for l, at := range p.placed {
		old := t.regions[l]
		if !at.resident || at.ring != nowhere || !p.config.shapes[l].keepsRows() || old != nil && old.cells == cells {
			continue
		}
		if old != nil {
			if err := t.untilRestored(ctx); err != nil {
				return err
			}
		}
		r, err := p.newRegion(l, cells)
		if err != nil {
			return asRefusal(at.device, p.config.layouts[l].RowBytes()*int64(cells), err)
		}
		if old != nil {
			if err := p.copyRows(at.device, old, r, t.high); err != nil {
				r.close()
				return err
			}
			r.clean, r.touched = t.high, t.high
			old.close()
		}
		t.regions[l] = r
	}
	t.room = cells
	return nil
}

// largest returns how many cells the largest region of a tree has.
func (t *tree) largest() int {
	cells := t.room
	for _, r := range t.regions {
		if r != nil {
			cells = max(cells, r.cells)
		}
	}
	return cells
}

// copyRows copies the first cells of a region to a larger one.
func (p *Pool) copyRows(d *device, from, to *region, cells int) error {
	if from.memory != nil {
		return from.Fetch(context.Background(), 0, tier.Run{N: cells}, to)
	}
	some := min(cells, firstCells)
	if some == 0 {
		return nil
	}
	buffer, err := p.hostBuffer(d, from.layout.RowBytes()*int64(some))
	if err != nil {
		return err
	}
	defer buffer.Close()
	for first := 0; first < cells; first += some {
		n := min(some, cells-first)
		for _, part := range [...]tier.Part{tier.Keys, tier.Values} {
			stride := int64(n) * from.layout.Piece(part)
			from.Read(part, first, n, buffer.Bytes(), stride)
			to.Write(part, first, n, buffer.Bytes(), stride)
		}
	}
	return nil
}

// asRefusal marks the error of an allocation on a device, if it is that there is no memory.
func asRefusal(d *device, bytes int64, err error) error {
	if errors.Is(err, ggml.ErrNoMemory) {
		return &refusalError{d, bytes, err}
	}
	return err
}

// rest makes all layers resident again, if no tree has memory. Slots are given back.
func (p *Pool) rest() {
	if !p.config.policy.adapts() || p.withMemory() > 0 {
		return
	}
	if p.states != nil && p.states.free() == len(p.states.holders) {
		p.closeStates() // they may lie elsewhere next time
	}
	for n, d := range p.devices {
		d.closeSlots()
		d.placement, d.slotCells, d.waves = p.config.devices[n].placement, 0, nil
		d.bound, d.bounded = 0, false
		p.locate(d)
	}
	p.measureSlots()
}

// Yield makes K/V give memory back, under the policy auto, for others who need it: the spare, or without one
// that of layers on each device that has some which may leave it. It reports whether there was any. It waits
// for the open step to be closed.
func (p *Pool) Yield(ctx context.Context) (yielded bool, err error) {
	if !p.config.policy.adapts() {
		return false, nil
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-p.turn }()
	defer p.tell()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, fmt.Errorf("%w: the pool", ErrClosed)
	}
	if p.spare != nil {
		err := p.giveUpSpare()
		return err == nil, err
	}
	before := p.stats.ResidentLayers
	demands := p.presentDemands()
	var asked []*device // those with layers that may leave
	for n, d := range p.devices {
		if len(d.placement.Layers)-d.placement.Streamed > p.config.devices[n].least {
			asked = append(asked, d)
		}
	}
	if demands == nil || asked == nil {
		return false, nil
	}
	for _, d := range asked {
		d.bound, d.bounded = p.taken(d)*yieldShare/100, true
	}
	p.stopCopies()
	left := departure{refused: true}
	err = p.settleReporting(ctx, demands, &left)
	p.report(&left, demands)
	p.count()
	yielded = p.stats.ResidentLayers < before
	if !yielded {
		for _, d := range asked {
			d.bounded = false
		}
	}
	return yielded, err
}

// presentDemands returns that all trees which have memory have room for the rows that they have.
func (p *Pool) presentDemands() (demands []demand) {
	for t := range p.trees {
		if t.regions != nil {
			cells := min(plan.WholeBlocks(max(t.high, 1)), p.config.cells)
			demands = append(demands, demand{tree: t, cells: cells, past: t.room})
		}
	}
	return demands
}

// yieldShare is the percentage of its memory that a device's K/V keep when they yield.
const yieldShare = 85
