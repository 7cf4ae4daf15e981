package kv

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// The first cells of a tree are sealed: in whole blocks, they hold the first tokens of all its
// sequences, in order. No sequence counts as their holder, so forks and closing sequences do not
// touch them, and every token sees them as one run of cells.
//
// Sequences of a search part and join again. The rows that they then share lie where they were
// written, between rows that other sequences still need. When the shared rows fill a block, they
// are put in order, once and for good. Rows move between cells at no other time.
//
// The tiers of a tree learn what is sealed, and may share it with other trees that have the same rows.

// forAll is the count of a sealed cell's holders.
const forAll = -1

// seal seals the whole blocks that all sequences of a tree share, and lets the tiers know. After an
// error of a tier nothing has changed.
func (p *Pool) seal(ctx context.Context, t *tree) error {
	if err := t.lost(); err != nil {
		return err
	}
	if t.sealed < t.final { // rows will be stored there again, perhaps at once
		if err := p.sealRows(ctx, t); err != nil {
			return err
		}
	}
	if err := p.sealShared(t); err != nil {
		return err
	}
	if err := p.storeSealed(ctx, t); err != nil {
		return err
	}
	return p.sealRows(ctx, t)
}

// sealRows tells the tiers of a tree which cells are sealed, once all of them have come that the tree is
// restored with. Where all memory is taken at once and kept, none is shared.
func (p *Pool) sealRows(ctx context.Context, t *tree) error {
	if !t.hasTiers() || t.final == t.sealed || p.config.policy.fixed() || t.restoring.Load() != nil {
		return nil
	}
	p.stopCopies() // rows may be fetched ahead from the tiers
	if err := p.change(func() error { return t.sealRows(ctx) }); err != nil {
		return allocation(fmt.Errorf("kv: room for cells that were shared: %w", err))
	}
	t.final = t.sealed
	return nil
}

// sealRows tells every tier what is sealed.
func (t *tree) sealRows(ctx context.Context) error {
	sealed := t.tiers
	if t.pastSize > 0 { // others will be stored in their place
		sealed = func(yield func(tier.Tier) bool) { eachTier(t.rows, yield) }
	}
	for rows := range sealed {
		if err := rows.Seal(ctx, t.sealed); err != nil {
			return err
		}
	}
	return nil
}

// sealShared seals the whole blocks that all sequences of a tree share.
func (p *Pool) sealShared(t *tree) error {
	end := t.shared() / Block * Block
	if end <= t.sealed || t.regions == nil {
		return nil
	}
	if moves := t.moves(end); len(moves) > 0 {
		buffers, err := p.moveBuffers(len(moves))
		defer closeBuffers(buffers)
		if err != nil {
			return fmt.Errorf("kv: memory to put rows in order: %w", err)
		}
		if err := p.rearrange(t, moves, buffers); err != nil {
			t.broken = fmt.Errorf("kv: rows were lost while they were put in order; close the sequence and its forks: %w", err)
			return t.broken
		}
		t.renumber(moves)
	}
	for c := t.sealed; c < end; c++ {
		t.cells[c] = forAll
	}
	for _, s := range t.seqs {
		_, s.runs = cutRuns(s.runs, end-t.sealed)
	}
	t.sealed, t.lowest = end, max(t.lowest, end)
	return nil
}

// unseal gives sealed cells from a block on back to the sequences, all of which hold them.
func (t *tree) unseal(from int) {
	n := t.sealed - from
	for c := from; c < t.sealed; c++ {
		t.cells[c] = int32(len(t.seqs))
	}
	for _, s := range t.seqs {
		runs := []tier.Run{{Start: from, N: n}}
		for _, r := range s.runs {
			runs = appendRun(runs, r)
		}
		s.runs = runs
	}
	t.sealed = from
}

// shared returns how many tokens, from the first on, have the same cells in all sequences.
func (t *tree) shared() int {
	n := len(t.seqs[0].tokens)
	for _, s := range t.seqs[1:] {
		n = min(n, t.sealed+commonCells(t.seqs[0].runs, s.runs))
	}
	return n
}

// commonCells returns how many cells two lists of runs begin with alike.
func commonCells(a, b []tier.Run) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i].Start != b[i].Start {
			return n
		}
		n += min(a[i].N, b[i].N)
		if a[i].N != b[i].N {
			return n
		}
	}
	return n
}

// move takes a row to another cell.
type move struct{ from, to int }

// moves lists the moves that bring the tokens before end, which all sequences share, to the cells
// before end. All rows are read before any is written. Rows that lie there and are still needed go
// to the cells that become free.
func (t *tree) moves(end int) (moves []move) {
	wanted := make(map[int]bool, end-t.sealed)
	var free []int
	to := t.sealed
	shared, _ := cutRuns(t.seqs[0].runs, end-t.sealed)
	for _, r := range shared {
		for c := r.Start; c < r.End(); c++ {
			wanted[c] = true
			if c != to {
				moves = append(moves, move{c, to})
			}
			if c >= end {
				free = append(free, c)
			}
			to++
		}
	}
	for c := t.sealed; c < end; c++ {
		if t.cells[c] != 0 && !wanted[c] {
			moves = append(moves, move{c, free[0]})
			free = free[1:]
		}
	}
	return moves
}

// renumber records where rows are after they have moved.
func (t *tree) renumber(moves []move) {
	at, held := make(map[int]int, len(moves)), make([]int32, len(moves))
	for i, m := range moves {
		at[m.from], held[i] = m.to, t.cells[m.from]
	}
	for _, m := range moves {
		t.cells[m.from] = 0
	}
	for i, m := range moves {
		t.cells[m.to] = held[i]
	}
	for _, s := range t.seqs {
		var runs []tier.Run
		for _, r := range s.runs {
			for c := r.Start; c < r.End(); c++ {
				to, moved := at[c]
				if !moved {
					to = c
				}
				runs = appendRun(runs, tier.Run{Start: to, N: 1})
			}
		}
		s.runs = runs
	}
	for _, r := range t.rings {
		r.renumber(moves)
	}
	t.lowest = t.sealed
	t.trim()
}

// moveBuffers allocates, for each device, host memory for a number of rows of any of its layers,
// before the first row moves. If that fails, no row is lost. The caller closes what it returns,
// also with an error.
func (p *Pool) moveBuffers(rows int) (buffers []tier.Buffer, err error) {
	for _, d := range p.devices {
		var widest int64
		for _, l := range d.placement.Layers {
			widest = max(widest, p.config.layouts[l].RowBytes())
		}
		b, err := p.neededBuffer(d, widest*int64(rows))
		if err != nil {
			return buffers, err
		}
		buffers = append(buffers, b)
	}
	return buffers, nil
}

func closeBuffers(buffers []tier.Buffer) {
	for _, b := range buffers {
		b.Close()
	}
}

// rearrange moves rows of all layers of a tree between cells, by way of a buffer for each device.
// Fetches ahead for the next step are ended first.
func (p *Pool) rearrange(t *tree, moves []move, buffers []tier.Buffer) error {
	p.stopCopies()
	for n, d := range p.devices {
		if err := p.rearrangeOn(d, t, moves, buffers[n].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// rearrangeOn moves the rows of the layers of one device. Rows that are in a tier visit a slot for
// that.
func (p *Pool) rearrangeOn(d *device, t *tree, moves []move, buffer []byte) error {
	segments := joinMoves(moves)
	for _, s := range d.slots {
		if s.holds.tree == t {
			s.holds = holding{}
		}
	}
	if err := p.rearrangePast(d, t, moves, buffer); err != nil {
		return err
	}
	for _, l := range d.placement.Layers {
		if p.placed[l].ring != nowhere || !p.config.shapes[l].keepsRows() {
			continue
		}
		p.moved.Add(int64(len(moves)) * p.config.layouts[l].RowBytes())
		if r := t.regions[l]; r != nil {
			r.rearrange(segments, buffer)
			continue
		}
		shape, slot := p.config.shapes[l], d.slots[0]
		slot.holds = holding{}
		slot.noteRows(shape, t.high)
		visiting := slot.views[shape]
		if err := t.rows[d.number].Fetch(context.Background(), p.placed[l].tierLayer, tier.Run{N: t.high}, visiting); err != nil {
			return err
		}
		visiting.rearrange(segments, buffer)
		var changed []tier.Run
		for _, s := range segments {
			changed = append(changed, tier.Run{Start: s.to, N: s.n})
		}
		if err := t.rows[d.number].Store(context.Background(), p.placed[l].tierLayer, changed, visiting); err != nil {
			return err
		}
	}
	return nil
}

// segment is n moves of cells that lie together.
type segment struct{ from, to, n int }

func joinMoves(moves []move) (segments []segment) {
	for _, m := range moves {
		if n := len(segments); n > 0 {
			last := &segments[n-1]
			if m.from == last.from+last.n && m.to == last.to+last.n {
				last.n++
				continue
			}
		}
		segments = append(segments, segment{m.from, m.to, 1})
	}
	return segments
}

// rearrange moves rows between cells by way of a buffer that has room for all.
func (r *region) rearrange(segments []segment, buffer []byte) {
	for _, each := range [...]func(p tier.Part, s segment, piece []byte, stride int64){
		func(p tier.Part, s segment, piece []byte, stride int64) { r.Read(p, s.from, s.n, piece, stride) },
		func(p tier.Part, s segment, piece []byte, stride int64) { r.Write(p, s.to, s.n, piece, stride) },
	} {
		at := int64(0)
		for _, s := range segments {
			for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
				stride := int64(s.n) * r.layout.Piece(p)
				size := int64(r.layout.Heads) * stride
				each(p, s, buffer[at:at+size], stride)
				at += size
			}
		}
	}
}
