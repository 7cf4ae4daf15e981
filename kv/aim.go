package kv

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
)

// goal is how much room each tree shall have, and which layers are resident.
type goal struct {
	cells      map[*tree]int // of the trees that have memory or demand it; whole blocks
	placements []plan.Placement
}

// leastGrowth is the share of its room by which a tree grows at least, if layers can leave for that:
// all its rows move when it does.
const leastGrowth = 8

// rooms returns how many cells each tree has room for.
func (g goal) rooms() []int {
	rooms := make([]int, 0, len(g.cells))
	for _, cells := range g.cells {
		rooms = append(rooms, cells)
	}
	return rooms
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
		if widest*int64(cells) > bounds[n]-(p.held(d)-p.spareOn(d)-p.beyond(d, p.withMemory())) {
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
				ok = !moves(at) && at.Take(rooms) <= bounds[n]
			}
		}
		if !ok {
			return false
		}
		g.placements = append(g.placements, at)
	}
	return true
}

// moves reports whether layers of a device have regions that move when a tree grows.
func moves(p plan.Placement) bool {
	for i, resident := range p.Resident {
		if resident && p.Rings[i] == 0 && p.Rows[i] > 0 {
			return true
		}
	}
	return false
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
		if ok && moves(least) {
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
		return noMemory("kv: %s of memory for %s is too little on %s for %d tokens: %s, the least that works is %s",
			bytesize.Floor(bounds[n]), p.contents(), d.backend.Device().Name(), slices.Max(rooms), stay, bytesize.Ceil(least.Take(rooms)))
	}
	return noMemory("kv: no memory for %d tokens", slices.Max(rooms))
}
