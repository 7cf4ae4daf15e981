package kv

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/trace"
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

// windowOf returns the number of the window of some tokens, or nowhere.
func windowOf(all []window, tokens int) int {
	for n := range all {
		if all[n].tokens == tokens {
			return n
		}
	}
	return nowhere
}

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
	t.ringRows, t.past = rows, make([]tier.Tier, len(p.devices))
	for _, w := range p.config.windows {
		t.rings = append(t.rings, newRing(w.tokens, w.size))
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
		r.zero(size)
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

// growRing gives a ring of a tree more places. After an error nothing has changed.
func (p *Pool) growRing(t *tree, number, size int) error {
	r, w := t.rings[number], p.config.windows[number]
	size = min(plan.WholeBlocks(size), p.config.cells)
	if size > len(r.cells) {
		if err := p.growRingRows(t, w, size); err != nil {
			return allocation(err)
		}
	}
	r.extend(size)
	return nil
}

// growRingRows moves the rows of rings to larger regions.
func (p *Pool) growRingRows(t *tree, w window, size int) error {
	if err := p.affordRing(t, w, size); err != nil {
		return err
	}
	rows := make([]*region, len(p.placed))
	err := p.newRingRows(w, size, rows)
	for _, l := range w.layers {
		if err != nil {
			break
		}
		err = p.copyRows(p.placed[l].device, t.ringRows[l], rows[l], t.ringRows[l].cells)
	}
	if err != nil {
		closeRegions(rows)
		return fmt.Errorf("kv: %d rows that the sequences of a batch see in a window of %d tokens: %w", size, w.tokens, err)
	}
	for _, l := range w.layers {
		t.ringRows[l].close()
		t.ringRows[l] = rows[l]
	}
	return nil
}

// affordRing reports whether the devices' memory suffices for larger rings.
func (p *Pool) affordRing(t *tree, w window, size int) error {
	more := make([]int64, len(p.devices))
	for _, l := range w.layers {
		more[p.placed[l].device.number] += p.config.layouts[l].RowBytes() * int64(size-t.ringRows[l].cells)
	}
	for n, d := range p.devices {
		memory := p.config.devices[n].memory
		if free := memory - p.taken(d); memory > 0 && more[n] > max(0, free) {
			return noMemory("kv: sequences of a batch that see %d different tokens in a window of %d need %s of device memory more, and %s are left: take fewer sequences at a time, or allow K/V more",
				size, w.tokens, bytesize.Ceil(more[n]), bytesize.Floor(max(0, free)))
		}
	}
	return nil
}

// planRings decides where the step's rows are in the rings, and stores the rows from before that lose
// their places. After an error the rings are as they were.
func (s *Step) planRings(ctx context.Context) error {
	s.ringed.begin(s.pool.config.windows, len(s.tokens))
	for i := range s.trees {
		for n, r := range s.trees[i].rings {
			if err := s.planRing(ctx, i, n, r); err != nil {
				s.eachRing(i, n, (*ring).undo)
				return err
			}
		}
	}
	s.layParts()
	return nil
}

// eachRing calls f for the rings of the trees before one, and for its own up to a number.
func (s *Step) eachRing(tree, number int, f func(*ring)) {
	for i := range s.trees[:min(tree+1, len(s.trees))] {
		for n, r := range s.trees[i].rings {
			if i < tree || n <= number {
				f(r)
			}
		}
	}
}

// failRings frees the places that the step has given.
func (s *Step) failRings() { s.eachRing(len(s.trees), 0, (*ring).fail) }

// planRing plans one ring of a tree of the step.
func (s *Step) planRing(ctx context.Context, tree, number int, r *ring) error {
	t := s.trees[tree].tree
	for {
		r.begin()
		short := s.assignChunks(tree, number, r)
		if short == 0 {
			break
		}
		r.undo()
		if err := s.pool.growRing(t, number, r.size+short); err != nil {
			return err
		}
	}
	if !r.stores {
		return nil
	}
	if err := s.pool.storeRing(ctx, t, number, r.before, math.MaxInt); err != nil {
		return err
	}
	r.stored(r.before, math.MaxInt)
	return nil
}

// assignChunks gives the rows that the step's chunks need their places, chunk by chunk. short is how
// many places are missing.
func (s *Step) assignChunks(tree, number int, r *ring) (short int) {
	if s.ringed.windows[number].shared {
		return s.assignStep(tree, number, r)
	}
	for i := range s.chunks {
		s.ringed.needs, s.ringed.cells = s.needs(s.chunks[i], tree, r.window, s.ringed.needs[:0], s.ringed.cells[:0])
		if len(s.ringed.needs) == 0 {
			continue
		}
		if short := r.assign(i, s.ringed.needs); short > 0 {
			return short
		}
		s.lookAt(r, number)
	}
	return 0
}

// assignStep is assignChunks for rings whose rows other layers share: those come to the first chunk
// when the layer that has the rows has computed the last. So all rows of the step have their places
// before its first chunk.
func (s *Step) assignStep(tree, number int, r *ring) (short int) {
	needs := func(c Chunk) bool {
		s.ringed.needs, s.ringed.cells = s.needs(c, tree, r.window, s.ringed.needs[:0], s.ringed.cells[:0])
		return len(s.ringed.needs) > 0
	}
	needs(Chunk{N: len(s.tokens)})
	if short := r.assign(0, s.ringed.needs); short > 0 {
		return short
	}
	for _, c := range s.chunks {
		if needs(c) {
			s.lookAt(r, number)
		}
	}
	return 0
}

// lookAt notes the views of the works that need rows, and the places of their tokens.
func (s *Step) lookAt(r *ring, number int) {
	views, places := len(r.views), s.ringed.places[number]
	for _, n := range s.ringed.needs {
		r.look(n)
	}
	for _, v := range r.views[views:] {
		at := v.first
		v.between(r.runs, v.old, v.old+v.n, func(first, n int) {
			for place := first; place < first+n; place++ {
				places[at] = int64(place)
				at++
			}
		})
	}
}

// storeRing stores dirty rows of cells below an end, in all layers of a ring.
func (p *Pool) storeRing(ctx context.Context, t *tree, number int, rows snapshot, end int) error {
	dirty := unstored(rows, end)
	if dirty == nil {
		return nil
	}
	for _, l := range p.config.windows[number].layers {
		if err := t.awaitRestored(ctx, l); err != nil {
			return err
		}
		if err := p.storeRows(ctx, t, l, dirty); err != nil {
			return fmt.Errorf("kv: rows of layer %d that leave the device: %w", l, err)
		}
	}
	return nil
}

// storeSealed stores the dirty rows of sealed cells.
func (p *Pool) storeSealed(ctx context.Context, t *tree) error {
	for n, r := range t.rings {
		if err := p.storeRing(ctx, t, n, r.now(), t.sealed); err != nil {
			return err
		}
		r.stored(r.now(), t.sealed)
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
	for _, s := range rows {
		err := transfer(t.past[at.device.number], at.pastLayer, tier.Run{Start: s.cell, N: s.n}, shifted{t.ringRows[layer], s.cell - s.place})
		if err != nil {
			return err
		}
		n += s.n
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
func (p *Pool) rearrangePast(d *device, t *tree, segments []segment, buffer []byte) error {
	for _, l := range d.placement.Layers {
		if p.placed[l].ring == nowhere {
			continue
		}
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

// readWindowed copies cells of a windowed layer from its ring, or from its tier if they are not there.
func (p *Pool) readWindowed(ctx context.Context, t *tree, layer int, cells tier.Run, rows block) error {
	at := p.placed[layer]
	ring := t.rings[at.ring]
	for c := cells.Start; c < cells.End(); {
		first, n := ring.place(c), 1
		for ; c+n < cells.End(); n++ {
			if next := ring.place(c + n); next != first+n && (first != nowhere || next != nowhere) {
				break
			}
		}
		if first == nowhere {
			if err := t.past[at.device.number].Fetch(ctx, at.pastLayer, tier.Run{Start: c, N: n}, rows); err != nil {
				return err
			}
		} else {
			rows.from(shifted{t.ringRows[layer], c - first}, tier.Run{Start: c, N: n})
		}
		c += n
	}
	return nil
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
