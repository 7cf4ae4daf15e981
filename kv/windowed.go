package kv

import (
	"errors"

	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// Windowed layers have a region on their device that is a ring of places (ring.go), under every policy
// alike, and a tier for the rows that leave it. New rows are written to the ring alone. They are stored
// when another cell wants their place, and a block at a time when it is sealed. Rows are fetched when
// a token sees them that have left the ring: after a truncation, or of a fork that was away.

// window is a window that layers have for which a tree keeps a ring.
type window struct {
	tokens int   // that a token sees
	size   int   // places of a ring at first
	layers []int // of the model
	shared bool  // layers without rows use those of one of them
}

// windows returns the windows of the layers that have rings in some placements.
func (o Options) windows(placements []plan.Placement) (all []window) {
	for _, p := range placements {
		for i, l := range p.Layers {
			if p.Rings[i] == 0 {
				continue
			}
			n := windowOf(all, o.Layers[l].Window)
			if n == nowhere {
				n = len(all)
				all = append(all, window{tokens: o.Layers[l].Window, size: p.Rings[i]})
			}
			all[n].layers = append(all[n].layers, l)
		}
	}
	for _, s := range o.Layers {
		if n := windowOf(all, s.Window); s.Shares && n != nowhere {
			all[n].shared = true
		}
	}
	return all
}

// pastCells returns for how many cells the tiers of windowed layers have room, where that is fewer than
// a tree has; 0: for all.
func (o Options) pastCells(windows []window) int {
	if o.WindowRows == 0 {
		return 0
	}
	largest := 0
	for _, w := range windows {
		largest = max(largest, w.size)
	}
	if cells := plan.WholeBlocks(largest + max(0, min(o.WindowRows, o.Cells))); cells < plan.WholeBlocks(o.Cells) {
		return cells
	}
	return 0
}

// windowOf returns the number of the window of some tokens, or nowhere.
func windowOf(all []window, tokens int) int {
	for n := range all {
		if all[n].tokens == tokens {
			return n
		}
	}
	return nowhere
}

// openRings gives a tree its rings, and the tiers of the rows that leave them.
func (p *Pool) openRings(t *tree) error {
	if t.rings != nil || len(p.config.windows) == 0 {
		return nil
	}
	rows := make([]*region, len(p.placed))
	for _, w := range p.config.windows {
		if err := p.newRingRows(w, w.size, rows); err != nil {
			closeRegions(rows)
			return err
		}
	}
	t.ringRows, t.past, t.pastSize = rows, make([]tier.Tier, len(p.devices)), p.config.pastCells
	for _, w := range p.config.windows {
		t.rings = append(t.rings, newRing(w.tokens, w.size, p.config.pastCells))
	}
	for n, d := range p.devices {
		var layouts []tier.Layout
		for _, l := range d.placement.Layers {
			if p.placed[l].ring != nowhere {
				layouts = append(layouts, p.config.layouts[l])
			}
		}
		if layouts != nil {
			t.past[n] = p.config.newTier(layouts, func(bytes int64) (tier.Buffer, error) { return p.hostBuffer(d, bytes) })
		}
	}
	return nil
}

// newRingRows allocates the regions of the rings of a window's layers, all of whose places are zero.
// After an error some of them are there.
func (p *Pool) newRingRows(w window, size int, rows []*region) error {
	for _, l := range w.layers {
		r, err := p.newRegion(l, size)
		if err != nil {
			return asRefusal(p.placed[l].device, p.config.layouts[l].RowBytes()*int64(size), err)
		}
		r.zero(size, size)
		rows[l] = r
	}
	return nil
}

func closeRegions(rows []*region) {
	for _, r := range rows {
		if r != nil {
			r.close()
		}
	}
}

// reuseRings makes the rings of a tree without rows those of a new one: no larger than others, so that
// rows have the same places.
func (p *Pool) reuseRings(t *tree) {
	for n, r := range t.rings {
		r.reset(p.config.windows[n].size)
	}
}

// closeRings frees the rings of a tree.
func (t *tree) closeRings() {
	closeRegions(t.ringRows)
	t.rings, t.ringRows = nil, nil
}

// forgetRings frees the places of a cell that is free.
func (t *tree) forgetRings(cell int) {
	for _, r := range t.rings {
		r.forget(cell)
	}
}

// errNoPast is why a cache with windowed layers is not made.
var errNoPast = errors.New("kv: layers with windows need a tier for the rows that leave them: set Options.Tier, for example to host.New")
