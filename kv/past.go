package kv

import "slices"

// past says which rows of a window's layers their tiers have, and at which of a tier's cells. Mostly a
// tier has room for all cells of a tree, each at its own. With [Options.WindowRows] it has room for fewer:
// a cell is at its number modulo the size, and takes the place of the one that was there.
type past struct {
	size    int     // cells of the tier; 0: those of the tree
	cells   []int32 // by cell of the tier: the cell of the tree whose row is there, or nowhere; nil without a size
	missing []bool  // by cell of the tree, without a size: the rows of a restored sequence that did not come with it
	changes []pastChange
}

// pastChange is a cell of the tier that the plan of a step has given to another cell of the tree.
type pastChange struct{ at, before int32 }

// newPast returns the past of a tree without rows.
func newPast(size int) past {
	p := past{size: size}
	for range size {
		p.cells = append(p.cells, nowhere)
	}
	return p
}

// at returns the cell of the tier for a cell of the tree.
func (p *past) at(cell int) int {
	if p.size == 0 {
		return cell
	}
	return cell % p.size
}

// has reports whether the tier has the row of a cell that is held and has no place in the ring.
func (p *past) has(cell int) bool {
	if p.size == 0 {
		return cell >= len(p.missing) || !p.missing[cell]
	}
	return p.cells[p.at(cell)] == int32(cell)
}

// keep notes that the row of a cell is stored.
func (p *past) keep(cell int) {
	if p.size == 0 {
		return
	}
	at := p.at(cell)
	p.changes = append(p.changes, pastChange{int32(at), p.cells[at]})
	p.cells[at] = int32(cell)
}

// overwrite forgets the rows in whose cells of the tier others are about to be stored.
func (p *past) overwrite(rows []stretch) {
	for _, s := range rows {
		for c := s.cell; c < s.cell+s.n && p.size > 0; c++ {
			p.cells[p.at(c)] = nowhere
		}
	}
}

// begin forgets what was changed before the plan of a step.
func (p *past) begin() { p.changes = p.changes[:0] }

// undo takes back what was changed since.
func (p *past) undo() {
	for _, c := range slices.Backward(p.changes) {
		p.cells[c.at] = c.before
	}
	p.begin()
}

// forget forgets the row of a cell that is free.
func (p *past) forget(cell int) {
	switch {
	case p.size > 0:
		if at := p.at(cell); p.cells[at] == int32(cell) {
			p.cells[at] = nowhere
		}
	case cell < len(p.missing):
		p.missing[cell] = false
	}
}

// forgetAll forgets all rows.
func (p *past) forgetAll() {
	for i := range p.cells {
		p.cells[i] = nowhere
	}
	p.missing = nil
	p.begin()
}

// restored notes that the rows of the cells [from, n) come.
func (p *past) restored(from, n int) {
	if p.size == 0 {
		p.missing = make([]bool, from)
		for c := range p.missing {
			p.missing[c] = true
		}
		return
	}
	for c := max(from, n-p.size); c < n; c++ {
		p.cells[p.at(c)] = int32(c)
	}
}

// moves returns the moves of rows in the tier that follow from moves of cells.
func (p *past) moves(moves []move) (all []move) {
	for _, m := range moves {
		if p.has(m.from) {
			all = append(all, move{p.at(m.from), p.at(m.to)})
		}
	}
	return all
}

// renumber notes which rows the tier has after these moves.
func (p *past) renumber(moves []move) {
	had := make([]bool, len(moves))
	for i, m := range moves {
		had[i] = p.has(m.from)
	}
	for _, m := range moves {
		p.forget(m.from)
	}
	for i, m := range moves {
		switch {
		case p.size > 0 && had[i]:
			p.cells[p.at(m.to)] = int32(m.to)
		case p.size == 0 && !had[i]:
			for m.to >= len(p.missing) {
				p.missing = append(p.missing, false)
			}
			p.missing[m.to] = true
		default:
			p.forget(m.to)
		}
	}
}

// pieces calls each with the stretches of rows between cells of the tier and places of the ring.
func (p *past) pieces(rows []stretch, each func(cell, place, n int) error) error {
	for _, s := range rows {
		for s.n > 0 {
			at, n := p.at(s.cell), s.n
			if p.size > 0 {
				n = min(n, p.size-at)
			}
			if err := each(at, s.place, n); err != nil {
				return err
			}
			s = stretch{s.cell + n, s.place + n, s.n - n}
		}
	}
	return nil
}
