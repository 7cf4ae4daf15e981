package kv

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
)

// shifted is a region in which cells are at other places: cell c is at place c - by.
type shifted struct {
	region *region
	by     int
}

var _ tier.Addressable = shifted{}

// Write copies cells to their places.
func (s shifted) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	s.region.Write(p, cell-s.by, n, buf, stride)
}

// Read copies cells from their places.
func (s shifted) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	s.region.Read(p, cell-s.by, n, buf, stride)
}

// Address returns the bytes of cells of a head, or nil if the host cannot address them.
func (s shifted) Address(p tier.Part, head, cell, n int) []byte {
	return s.region.Address(p, head, cell-s.by, n)
}

// storeRing stores the dirty rows of cells below an end, in all layers of a ring.
func (p *Pool) storeRing(ctx context.Context, t *tree, number, end int) error {
	r := t.rings[number]
	dirty := r.unstored(end)
	if dirty == nil {
		return nil
	}
	r.past.overwrite(dirty)
	for _, l := range p.config.windows[number].layers {
		if err := t.awaitRestored(ctx, l); err != nil {
			return err
		}
		if err := p.storeRows(ctx, t, l, dirty); err != nil {
			return fmt.Errorf("kv: rows of layer %d that leave the device: %w", l, err)
		}
	}
	r.stored(dirty)
	return nil
}

// storeSealed stores the dirty rows of sealed cells.
func (p *Pool) storeSealed(ctx context.Context, t *tree) error {
	for n := range t.rings {
		if err := p.storeRing(ctx, t, n, t.sealed); err != nil {
			return err
		}
	}
	return nil
}

// storeRows stores rows of a windowed layer in its tier.
func (p *Pool) storeRows(ctx context.Context, t *tree, layer int, rows []stretch) error {
	return p.copyStretches(t, layer, rows, trace.Store, func(to tier.Tier, number int, cells tier.Run, from shifted) error {
		return to.Store(ctx, number, []tier.Run{cells}, from)
	})
}

// fetchRows fetches rows of a windowed layer from its tier.
func (p *Pool) fetchRows(ctx context.Context, t *tree, layer int, rows []stretch) error {
	return p.copyStretches(t, layer, rows, trace.Fetch, func(from tier.Tier, number int, cells tier.Run, to shifted) error {
		return from.Fetch(ctx, number, cells, to)
	})
}

// copyStretches copies rows of a layer between its ring and its tier. The computation waits for that,
// so it is traced among what is computed.
func (p *Pool) copyStretches(t *tree, layer int, rows []stretch, way trace.Track, transfer func(t tier.Tier, number int, cells tier.Run, at shifted) error) error {
	if len(rows) == 0 {
		return nil
	}
	at, start, n := p.placed[layer], p.config.trace.Now(), 0
	p.hooks.copying()
	err := t.rings[at.ring].past.pieces(rows, func(cell, place, some int) error {
		n += some
		return transfer(t.past[at.device.number], at.pastLayer, tier.Run{Start: cell, N: some}, shifted{t.ringRows[layer], cell - place})
	})
	if err != nil {
		return err
	}
	bytes, name := p.config.layouts[layer].RowBytes()*int64(n), "store window"
	if way == trace.Fetch {
		name = "fetch window"
		p.fetches.Add(1)
		p.fetched.Add(bytes)
	} else {
		p.stored.Add(bytes)
	}
	p.span(at.device, trace.Compute, name, layer, bytes, start, p.config.trace.Now())
	return nil
}

// Prepare makes the rows ready that a chunk sees in the layer, before it is computed there. Chunks are
// prepared in order. In a windowed layer, rows of earlier chunks that lose their places are stored,
// and rows that the chunk sees and that are not on the device are fetched.
func (l *Layer) Prepare(ctx context.Context, chunk int) error {
	s := l.step
	number := s.pool.placed[l.Index].ring
	if number == nowhere {
		return nil
	}
	for _, part := range s.chunks[chunk].Parts {
		t := s.trees[part.Tree].tree
		copies := t.rings[number].copiesBefore(chunk)
		if copies == nil {
			continue
		}
		err := s.awaitRestored(ctx, part.Tree, l.Index)
		if err == nil {
			err = s.pool.storeRows(ctx, t, l.Index, copies.store)
		}
		if err == nil {
			err = s.pool.fetchRows(ctx, t, l.Index, copies.fetched)
		}
		if err != nil {
			return fmt.Errorf("kv: rows of layer %d in its window: %w", l.Index, err)
		}
	}
	return nil
}

// rearrangePast moves the rows of the windowed layers of a device between the cells of their tier. In
// the rings they stay where they are.
func (p *Pool) rearrangePast(d *device, t *tree, moves []move, buffer []byte) error {
	for _, l := range d.placement.Layers {
		if p.placed[l].ring == nowhere {
			continue
		}
		segments := joinMoves(t.rings[p.placed[l].ring].past.moves(moves))
		for _, s := range segments {
			p.moved.Add(int64(s.n) * p.config.layouts[l].RowBytes())
		}
		if err := p.moveInTier(t.past[d.number], p.placed[l].pastLayer, p.config.layouts[l], segments, buffer); err != nil {
			return err
		}
	}
	return nil
}

// moveInTier moves rows of a layer between cells of a tier, by way of a buffer that has room for all.
func (p *Pool) moveInTier(rows tier.Tier, layer int, layout tier.Layout, segments []segment, buffer []byte) error {
	ctx := context.Background()
	pieces, at := make([]block, len(segments)), int64(0)
	for i, s := range segments {
		size := layout.RowBytes() * int64(s.n)
		pieces[i] = block{layout: layout, rows: buffer[at : at+size], cells: s.n, cell: s.from}
		at += size
		if err := rows.Fetch(ctx, layer, tier.Run{Start: s.from, N: s.n}, pieces[i]); err != nil {
			return err
		}
	}
	for i, s := range segments {
		pieces[i].cell = s.to
		if err := rows.Store(ctx, layer, []tier.Run{{Start: s.to, N: s.n}}, pieces[i]); err != nil {
			return err
		}
	}
	return nil
}
