package kv

import (
	"context"

	"github.com/seed4d217819/ebb/tier"
)

// destination is where a layer's rows belong that are restored or copied: a region, or a tier.
type destination struct {
	layout tier.Layout
	region *region
	rows   tier.Tier
	number int // of the layer in rows
	from   int // no rows before are there, or kept
	past   *past
}

// destinationOf returns where the rows of n tokens of a layer belong. In layers with windows, those before the
// token from do not come.
func (p *Pool) destinationOf(t *tree, layer, n, from int) destination {
	at := p.placed[layer]
	to := destination{layout: p.config.layouts[layer], region: t.regions[layer], number: at.tierLayer}
	switch {
	case at.ring != nowhere:
		past := &t.rings[at.ring].past
		to.rows, to.number, to.past = t.past[at.device.number], at.pastLayer, past
		if to.from = from; past.size > 0 {
			to.from = max(to.from, n-past.size)
		}
	case to.region == nil:
		to.rows = t.rows[at.device.number]
	}
	return to
}

// put copies cells of a block to where they belong.
func (d destination) put(ctx context.Context, cells tier.Run, b block) error {
	if d.region != nil {
		b.to(d.region, cells)
		return ctx.Err()
	}
	return d.store(ctx, cells, func(further int) tier.Memory {
		to := b
		to.cell += further
		return to
	})
}

// store stores cells in the tier where they belong, as far as they are kept there. rows returns the memory
// that has them, in which their numbers are those of the tier's cells: some number further than theirs.
func (d destination) store(ctx context.Context, cells tier.Run, rows func(further int) tier.Memory) error {
	if d.past == nil {
		return d.rows.Store(ctx, d.number, []tier.Run{cells}, rows(0))
	}
	if skipped := d.from - cells.Start; skipped > 0 {
		cells = tier.Run{Start: d.from, N: max(0, cells.N-skipped)}
	}
	return d.past.pieces([]stretch{{cell: cells.Start, n: cells.N}}, func(cell, past, n int) error {
		return d.rows.Store(ctx, d.number, []tier.Run{{Start: cell, N: n}}, rows(cell-(cells.Start+past)))
	})
}
