package kv

import (
	"iter"

	"github.com/seed4d217819/ebb/plan"
)

// Fits reports whether there is room for more tokens of some sequences, all together, by what the bounds on
// devices and tiers allow. nil stands for a sequence that is not there yet. It takes nothing, and promises
// nothing: others may take the room, and what a driver refuses shows when it is asked.
func (p *Pool) Fits(claims iter.Seq2[*Seq, int]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var demands []demand
	by := map[*tree]int{} // the number of its demand
	for s, more := range claims {
		t := &tree{capacity: p.config.capacity}
		if s != nil && s.tree != nil {
			t = s.tree
		}
		n, known := by[t]
		if !known {
			n = len(demands)
			by[t] = n
			demands = append(demands, demand{tree: t, cells: t.high, past: t.room})
		}
		d := &demands[n]
		d.cells = min(d.cells+max(more, 0), t.capacity)
		d.soon = d.cells
	}
	if p.config.policy.adapts() {
		g := p.grown(demands, p.bounds(true), giveAll, func(d demand) int { return min(plan.WholeBlocks(d.cells), p.config.cells) })
		return p.fits(&g, p.bounds(true), nil, true) && p.tiersFit(demands, g.placements)
	}
	return p.regionsFit(demands) && p.tiersFit(demands, nil)
}

// regionsFit reports whether the devices have memory for the regions of new trees, where each takes all of
// its memory at once.
func (p *Pool) regionsFit(demands []demand) bool {
	fresh := 0
	for _, d := range demands {
		if d.tree.regions == nil {
			fresh++
		}
	}
	if p.spare != nil {
		fresh--
	}
	if fresh <= 0 {
		return true
	}
	trees := p.withMemory() + fresh
	for n, d := range p.devices {
		memory := p.config.devices[n].memory
		if memory > 0 && d.placement.Bytes(trees)+p.beyond(d, trees) > memory {
			return false
		}
	}
	return true
}

// tiersFit reports whether the tiers have room for the rows of streamed layers, by the placements that the
// devices will have; nil: those that they have.
func (p *Pool) tiersFit(demands []demand, placements []plan.Placement) bool {
	if p.config.tierBytes == 0 {
		return true
	}
	var now, then int64 // bytes of a cell in the layers whose rows are in tiers
	for n, d := range p.devices {
		if !d.copies {
			continue
		}
		for i, l := range d.placement.Layers {
			row := p.config.layouts[l].RowBytes()
			if !p.config.shapes[l].keepsRows() || p.placed[l].ring != nowhere || p.placed[l].onHost {
				continue
			}
			if !d.placement.Resident[i] {
				now += row
			}
			if placements == nil && !d.placement.Resident[i] || placements != nil && !placements[n].Resident[i] {
				then += row
			}
		}
	}
	p.count()
	need := p.stats.HostBytes + p.stats.DiskBytes
	for t := range p.trees {
		need += (then - now) * int64(t.reserved)
	}
	for _, d := range demands {
		cells := plan.WholeBlocks(d.cells)
		if p.config.policy.fixed() {
			cells = p.config.cells
		}
		need += then * int64(max(0, cells-d.tree.reserved))
	}
	return need <= p.config.tierBytes
}
