package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// ring says which cells of a tree have their rows on the device in the layers of one window, and at
// which places there. It is the same for all these layers, and it is arithmetic alone.
//
// A cell prefers the place of its number modulo the size of the ring. A sequence whose cells follow
// each other always finds that place free or held by a row that left its window, so where its rows are
// does not depend on how they came there. Where a row that the chunk needs is in the way, a cell
// takes the lowest place that is not needed. All of it depends on the batches alone.
//
// The row of a new token is written to the ring and nowhere else: its place is dirty until the row is
// stored in the tier, which happens when another cell wants the place, or before.
type ring struct {
	window int
	size   int     // places
	least  int     // places at first
	cells  []int32 // by place: the cell whose rows are there, or nowhere
	places []int32 // by cell: the place of its rows, or nowhere; later cells are nowhere
	dirty  []bool  // by place: the tier does not have the row
	past   past    // what the tier has

	before  ringBefore // of the places when the open step began
	touched []bool     // by place: the open step has given it to a cell
	needed  []uint32   // by place: the last chunk that needs its row, in the order of planning
	chunk   uint32     // how many chunks have been planned since the ring was made
	pending []placing  // cells that did not get the place that they prefer

	stores bool         // rows from before the step lose their places while they are dirty
	gone   bool         // a chunk needs a row that is neither here nor in the tier
	copies []ringCopies // of the open step's chunks, in order; those without copies are left out
	views  []view       // of the open step, in the order of its tokens
	runs   []tier.Run   // of all views
}

// nowhere is the place of a cell that has none, and the cell of a free place.
const nowhere = -1

// ringBefore is which cells had which places, and of which rows the tier had no copy.
type ringBefore struct {
	cells []int32
	dirty []bool
}

// placing is a cell that needs a place.
type placing struct {
	cell int
	made bool // the chunk writes its row
}

// stretch is n cells that follow each other, at places that do so too.
type stretch struct{ cell, place, n int }

// ringCopies are what is copied before a chunk is computed in a layer: first the rows of earlier
// chunks that lose their places are stored, and then the rows that the chunk needs and that have none
// are fetched.
type ringCopies struct {
	chunk          int
	store, fetched []stretch
}

// need is the rows that the tokens of a work need in a chunk: those in the windows of its tokens, its
// new ones last.
type need struct {
	first, n int        // tokens of the step
	position int        // of the first row
	old      int        // rows before theirs
	cells    []tier.Run // in the order of positions
}

// newRing returns a ring without rows, whose tier has room for some cells; 0: for all.
func newRing(window, size, past int) *ring {
	r := &ring{window: window, least: size, past: newPast(past)}
	r.extend(size)
	return r
}

// extend gives the ring more places, which are free.
func (r *ring) extend(size int) {
	more := size - len(r.cells)
	if more > 0 {
		r.cells = append(r.cells, slices.Repeat([]int32{nowhere}, more)...)
		r.dirty = append(r.dirty, make([]bool, more)...)
		r.touched = append(r.touched, make([]bool, more)...)
		r.needed = append(r.needed, make([]uint32, more)...)
	}
	r.size = size
}

// place returns the place of a cell's rows, or nowhere.
func (r *ring) place(cell int) int {
	if cell >= len(r.places) {
		return nowhere
	}
	return int(r.places[cell])
}

// setPlace notes the place of a cell's rows.
func (r *ring) setPlace(cell, place int) {
	for cell >= len(r.places) {
		r.places = append(r.places, nowhere)
	}
	r.places[cell] = int32(place)
}

// forget frees the place of a cell that is free itself, and forgets that the tier has its row.
func (r *ring) forget(cell int) {
	if p := r.place(cell); p != nowhere {
		r.free(p)
	}
	r.past.forget(cell)
}

// free takes a place from its cell.
func (r *ring) free(place int) {
	if c := r.cells[place]; c != nowhere {
		r.places[c] = nowhere
	}
	r.cells[place], r.dirty[place] = nowhere, false
}

// renumber gives the places of cells to the cells to which their rows have moved.
func (r *ring) renumber(moves []move) {
	at := make([]int, len(moves))
	for i, m := range moves {
		if at[i] = r.place(m.from); at[i] != nowhere {
			r.places[m.from] = nowhere
		}
	}
	for i, m := range moves {
		if at[i] != nowhere {
			r.cells[at[i]] = int32(m.to)
			r.setPlace(m.to, at[i])
		}
	}
	r.past.renumber(moves)
}

// begin prepares the planning of a step.
func (r *ring) begin() {
	r.before.cells = append(r.before.cells[:0], r.cells...)
	r.before.dirty = append(r.before.dirty[:0], r.dirty...)
	clear(r.touched)
	r.stores, r.gone = false, false
	r.past.begin()
	r.copies, r.views, r.runs = r.copies[:0], r.views[:0], r.runs[:0]
}

// assign gives the rows that a chunk needs their places. Chunks are planned in order. If there are
// too few places, short is how many more the chunk needs, and the planning is to be undone.
func (r *ring) assign(chunk int, needs []need) (short int) {
	r.chunk++
	for _, n := range needs {
		for _, run := range n.cells {
			for c := run.Start; c < run.End(); c++ {
				if p := r.place(c); p != nowhere {
					r.needed[p] = r.chunk
				}
			}
		}
	}
	r.pending = r.pending[:0]
	for _, n := range needs {
		old := n.old
		for _, run := range n.cells {
			for c := run.Start; c < run.End(); c++ {
				if old--; r.place(c) != nowhere {
					continue
				}
				p := placing{cell: c, made: old < 0}
				if at := c % r.size; r.needed[at] != r.chunk {
					r.put(chunk, p, at)
				} else {
					r.pending = append(r.pending, p)
				}
			}
		}
	}
	at := 0
	var without []int
	for _, p := range r.pending {
		if r.place(p.cell) != nowhere {
			continue // another work needs it, too
		}
		for at < r.size && r.needed[at] == r.chunk {
			at++
		}
		if at == r.size {
			without = append(without, p.cell)
			continue
		}
		r.put(chunk, p, at)
	}
	if without != nil {
		slices.Sort(without)
		return len(slices.Compact(without))
	}
	if copies := r.copiesBefore(chunk); copies != nil {
		for _, s := range copies.fetched { // after all rows that the chunk stores
			for c := s.cell; c < s.cell+s.n; c++ {
				r.gone = r.gone || !r.past.has(c)
			}
		}
	}
	return 0
}

// put gives a place to a cell, and notes what that makes necessary to copy.
func (r *ring) put(chunk int, p placing, place int) {
	if c := int(r.cells[place]); c != nowhere {
		switch {
		case !r.dirty[place]:
		case r.before.cells[place] == int32(c):
			r.stores = true
		default:
			copies := r.copiesOf(chunk)
			copies.store = appendStretch(copies.store, c, place)
			r.past.keep(c)
		}
		r.places[c] = nowhere
	}
	r.cells[place], r.dirty[place] = int32(p.cell), p.made
	r.setPlace(p.cell, place)
	r.touched[place], r.needed[place] = true, r.chunk
	if !p.made {
		copies := r.copiesOf(chunk)
		copies.fetched = appendStretch(copies.fetched, p.cell, place)
	}
}

// copiesOf returns the copies of the chunk that is planned.
func (r *ring) copiesOf(chunk int) *ringCopies {
	n := len(r.copies)
	if n > 0 && r.copies[n-1].chunk == chunk {
		return &r.copies[n-1]
	}
	if n < cap(r.copies) {
		r.copies = r.copies[:n+1]
		c := &r.copies[n]
		c.chunk, c.store, c.fetched = chunk, c.store[:0], c.fetched[:0]
	} else {
		r.copies = append(r.copies, ringCopies{chunk: chunk})
	}
	return &r.copies[n]
}

// copiesBefore returns what is copied before a chunk is computed; nil: nothing.
func (r *ring) copiesBefore(chunk int) *ringCopies {
	for i := range r.copies {
		if r.copies[i].chunk == chunk {
			return &r.copies[i]
		}
	}
	return nil
}

// unstored returns the dirty places of cells below an end, with their cells in order.
func (r *ring) unstored(end int) (rows []stretch) {
	for place, dirty := range r.dirty {
		if c := int(r.cells[place]); dirty && c < end {
			rows = append(rows, stretch{c, place, 1})
		}
	}
	slices.SortFunc(rows, func(a, b stretch) int { return a.cell - b.cell })
	joined := rows[:0]
	for _, s := range rows {
		joined = appendStretch(joined, s.cell, s.place)
	}
	return joined
}

// stored notes that the tier has the rows of some cells.
func (r *ring) stored(rows []stretch) {
	for _, s := range rows {
		for i := range s.n {
			r.past.keep(s.cell + i)
			r.dirty[s.place+i] = false
		}
	}
}

// undo makes the places what they were before the step was planned. No row has been copied yet.
func (r *ring) undo() {
	for place, c := range r.cells {
		if c != nowhere && r.touched[place] {
			r.places[c] = nowhere
		}
	}
	for place, c := range r.before.cells {
		if c != nowhere {
			r.places[c] = int32(place)
		}
		r.cells[place], r.dirty[place] = c, r.before.dirty[place]
	}
	clear(r.touched)
	r.past.undo()
}

// fail frees the places that a step which was not committed had given to cells: in some layers, other
// rows may be there.
func (r *ring) fail() {
	for place, is := range r.touched {
		if is {
			r.free(place)
		}
	}
}

// reset makes the ring of a tree without rows one of another size.
func (r *ring) reset(size int) {
	for place := range r.cells {
		r.free(place)
	}
	r.places = r.places[:0]
	r.past.forgetAll()
	r.least = size
	r.extend(size)
}

// appendStretch appends a cell with its place, joined to the last stretch if it follows.
func appendStretch(all []stretch, cell, place int) []stretch {
	if n := len(all); n > 0 {
		last := &all[n-1]
		if last.cell+last.n == cell && last.place+last.n == place {
			last.n++
			return all
		}
	}
	return append(all, stretch{cell, place, 1})
}
