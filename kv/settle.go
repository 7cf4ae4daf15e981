package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
)

// Under the policy auto, trees take memory as they grow, and which layers are resident is decided
// anew whenever a tree needs more room than it has: settle. It asks package plan what fits (aim),
// and makes it so (reach, in demote.go). That happens between steps, and a step that needs no room
// asks for none of it.

// demand is what a tree needs: room for some cells in this step, and for as many in the steps that
// are known to follow.
type demand struct {
	tree        *tree
	cells, soon int
	past        int // cells that it had room for before
}

// goal is how much room each tree shall have, and which layers are resident.
type goal struct {
	cells      map[*tree]int // of the trees that have memory or demand it; whole blocks
	placements []plan.Placement
}

// firstCells is how many cells a tree has room for at first, where its context is longer and they
// fit.
const firstCells = 16 * Block

// leastGrowth is the share of its room by which a tree grows at least, if layers can leave for that:
// all its rows move when it does.
const leastGrowth = 8

// hasRoom reports whether a tree has room for some cells wherever its layers compute.
func (p *Pool) hasRoom(t *tree, cells int) bool {
	return t.regions != nil && cells <= t.room && cells <= p.slotCells
}

// settle gives trees the room that they demand. Layers leave their device if there is no other way.
// An error leaves all rows in place; layers may have left before it.
func (p *Pool) settle(ctx context.Context, demands []demand) error {
	p.stopCopies() // slots and regions are about to be replaced
	var left departure
	defer p.report(&left, demands)
	return p.settleReporting(ctx, demands, &left)
}

// settleReporting is settle, and notes which layers leave.
func (p *Pool) settleReporting(ctx context.Context, demands []demand, left *departure) error {
	for {
		aim, err := p.aim(demands, p.bounds(true))
		last := err != nil && p.refused()
		if last { // what was refused once may be had now, if it is little
			aim, err = p.leastAim(demands, p.bounds(false))
		}
		if err == nil {
			err = p.reach(ctx, aim, demands, left)
		}
		if err == nil {
			return nil
		}
		refusal, ok := errors.AsType[*refusalError](err)
		if !ok || last {
			return p.unsettled(demands, err)
		}
		left.refused = true
		d := refusal.device
		most := aim.placements[d.number].Take(aim.rooms()) - (refusal.bytes+1)/2
		d.bound = max(0, min(p.taken(d)+refusal.bytes/2, most))
		d.bounded = true
	}
}

// refused reports whether a device has refused memory.
func (p *Pool) refused() bool {
	return slices.ContainsFunc(p.devices, func(d *device) bool { return d.bounded })
}

// unsettled gives back the memory of trees that hold no rows yet.
func (p *Pool) unsettled(demands []demand, err error) error {
	for _, d := range demands {
		if d.tree.regions != nil && d.tree.high == 0 {
			err = errors.Join(err, p.release(d.tree))
		}
	}
	p.rest()
	return err
}

// refusalError says that a device has refused memory.
type refusalError struct {
	device *device
	bytes  int64
	err    error
}

func (e *refusalError) Error() string { return e.err.Error() }
func (e *refusalError) Unwrap() error { return e.err }

// rooms returns how many cells each tree has room for.
func (g goal) rooms() []int {
	rooms := make([]int, 0, len(g.cells))
	for _, cells := range g.cells {
		rooms = append(rooms, cells)
	}
	return rooms
}

// withMemory returns how many trees have memory.
func (p *Pool) withMemory() (n int) {
	for t := range p.trees {
		if t.regions != nil {
			n++
		}
	}
	return n
}

// bounds returns, by device, how many bytes its K/V may take now. What was refused counts if it is
// to be believed.
func (p *Pool) bounds(refused bool) []int64 {
	bounds := make([]int64, len(p.devices))
	contexts := slices.Repeat([]int{p.config.cells}, max(p.config.trees, len(p.trees)))
	for n, d := range p.devices {
		bounds[n] = math.MaxInt64
		if memory := p.config.devices[n].memory; memory > 0 {
			bounds[n] = memory
		}
		if d.bounded && refused {
			bounds[n] = min(bounds[n], d.bound)
		}
		if p.config.room == nil {
			continue
		}
		if free, known := p.config.room(n, d.placement.Take(contexts)); known {
			bounds[n] = min(bounds[n], max(0, p.held(d)+free))
		}
	}
	return bounds
}

// taken returns the bytes of the regions and slots of a device.
func (p *Pool) taken(d *device) (bytes int64) {
	for _, s := range d.slots {
		if s.buffer != nil {
			bytes += s.buffer.Size()
		}
	}
	for t := range p.trees {
		for _, l := range d.placement.Layers {
			if t.regions != nil && t.regions[l] != nil {
				bytes += t.regions[l].bytes()
			}
		}
	}
	return bytes
}

// held returns the bytes of them that are not free any more: a CPU's regions take memory block by
// block.
func (p *Pool) held(d *device) (bytes int64) {
	for _, s := range d.slots {
		if s.buffer != nil {
			bytes += s.buffer.Size()
		}
	}
	for t := range p.trees {
		for _, l := range d.placement.Layers {
			if t.regions != nil && t.regions[l] != nil {
				bytes += p.regionUsage(l, t.regions[l])
			}
		}
	}
	return bytes
}

// aim decides how much room trees get. In this order, the first that fits: the whole context; twice
// what they have, or less, as long as no layer leaves; the same with what other trees do not use; a
// little more than they have, for which layers leave; what they need now.
func (p *Pool) aim(demands []demand, bounds []int64) (goal, error) {
	whole := func(cells int) int { return min(plan.WholeBlocks(cells), p.config.cells) }
	soon := func(d demand) int { return whole(max(d.soon, d.cells)) }
	doubled := func(d demand) int {
		cells := max(2*d.tree.room, min(p.config.firstCells, p.config.cells))
		for cells < soon(d) {
			cells *= 2
		}
		return whole(cells)
	}
	little := func(d demand) int { return max(soon(d), whole(d.tree.room+d.tree.room/leastGrowth)) }

	context := p.grown(demands, bounds, keepRoom, func(demand) int { return p.config.cells })
	announced := slices.Repeat([]int{p.config.cells}, max(0, p.config.trees-len(context.cells)))
	if p.fits(&context, bounds, announced, false) {
		return context, nil
	}
	for _, others := range []spared{keepRoom, giveSpare} {
		for share := growthShares; share >= 0; share-- {
			more := p.grown(demands, bounds, others, func(d demand) int {
				least := little(d)
				return least + max(0, doubled(d)-least)*share/growthShares/Block*Block
			})
			if p.fits(&more, bounds, nil, false) {
				return more, nil
			}
		}
	}
	for _, size := range []func(demand) int{little, soon} {
		least := p.grown(demands, bounds, giveSpare, size)
		if p.fits(&least, bounds, nil, true) {
			return least, nil
		}
	}
	return p.leastAim(demands, bounds)
}

// leastAim is the aim that trees have no more room than they need now.
func (p *Pool) leastAim(demands []demand, bounds []int64) (goal, error) {
	least := p.grown(demands, bounds, giveAll, func(d demand) int { return min(plan.WholeBlocks(d.cells), p.config.cells) })
	if !p.fits(&least, bounds, nil, true) {
		return goal{}, p.short(least, bounds)
	}
	return least, nil
}

// growthShares is in how many parts the way from a little more room to twice as much is divided.
const growthShares = 16

// spared says how much of their room the trees give that lack none.
type spared int

const (
	keepRoom  spared = iota // nothing
	giveSpare               // what is more than twice what they use
	giveAll                 // all that they do not use
)

// grown returns the goal that trees which lack room have some cells.
func (p *Pool) grown(demands []demand, bounds []int64, others spared, size func(demand) int) goal {
	g := goal{cells: map[*tree]int{}}
	keep := func(t *tree, used int) {
		used, room := min(plan.WholeBlocks(used), p.config.cells), t.largest()
		switch others {
		case giveSpare:
			room = min(room, max(2*used, p.config.firstCells))
		case giveAll:
			room = min(room, max(used, Block))
		}
		if room < t.largest() && !p.canShrink(t, room, bounds) {
			room = t.largest()
		}
		g.cells[t] = room
	}
	for t := range p.trees {
		if t.regions != nil {
			keep(t, t.high)
		}
	}
	for _, d := range demands {
		if d.tree.regions == nil || d.cells > d.tree.room {
			g.cells[d.tree] = size(d)
		} else {
			keep(d.tree, d.cells)
		}
	}
	return g
}

// canShrink reports whether the bounds allow that a tree's rows move to smaller regions: there is an
// old and a new one then.
func (p *Pool) canShrink(t *tree, cells int, bounds []int64) bool {
	for n, d := range p.devices {
		widest := int64(0)
		for _, l := range d.placement.Layers {
			if t.regions[l] != nil {
				widest = max(widest, p.config.layouts[l].RowBytes())
			}
		}
		if widest*int64(cells) > bounds[n]-p.held(d) {
			return false
		}
	}
	return true
}

// fits reports whether the bounds suffice for a goal, beside announced trees, and sets which layers
// are resident then: those that are now, or fewer if some may leave.
func (p *Pool) fits(g *goal, bounds []int64, announced []int, leave bool) bool {
	rooms := append(g.rooms(), announced...)
	g.placements = g.placements[:0]
	for n, d := range p.devices {
		at, c := d.placement, p.config.devices[n]
		ok := at.Take(rooms) <= bounds[n]-p.between(d, g)
		if !ok && leave {
			if at, ok = at.DemoteFor(rooms, bounds[n]-p.between(d, g), c.least, c.slots); !ok {
				ok = at.Streamed == len(at.Layers) && at.Take(rooms) <= bounds[n] // no region moves
			}
		}
		if !ok {
			return false
		}
		g.placements = append(g.placements, at)
	}
	return true
}

// between returns the bytes that a device needs while rows move from one region to a larger one: the
// old one, layer by layer.
func (p *Pool) between(d *device, g *goal) (bytes int64) {
	for t, cells := range g.cells {
		if t.regions == nil || cells == t.room {
			continue
		}
		for _, l := range d.placement.Layers {
			if r := t.regions[l]; r != nil {
				bytes = max(bytes, r.bytes())
			}
		}
	}
	return bytes
}

// short says on which device a goal does not fit, and what would be enough.
func (p *Pool) short(g goal, bounds []int64) error {
	rooms := g.rooms()
	for n, d := range p.devices {
		c := p.config.devices[n]
		least, ok := d.placement.DemoteFor(rooms, bounds[n], c.least, c.slots)
		if ok && len(least.Layers) > least.Streamed {
			if _, ok = d.placement.DemoteFor(rooms, bounds[n]-p.between(d, &g), c.least, c.slots); !ok {
				least, _ = d.placement.DemoteFor(rooms, 0, c.least, c.slots)
			}
		}
		if ok {
			continue
		}
		stay := "as no layer can leave it"
		if least.Streamed > 0 {
			stay = fmt.Sprintf("with %d of %d layers off it", least.Streamed, len(least.Layers))
		}
		return noMemory("kv: %s of memory for K/V is too little on %s for %d tokens: %s, the least that works is %s",
			bytesize.Floor(bounds[n]), d.backend.Device().Name(), slices.Max(rooms), stay, bytesize.Ceil(least.Take(rooms)))
	}
	return noMemory("kv: no memory for %d tokens", slices.Max(rooms))
}
