package attend

import "github.com/seed4d217819/ebb/isa"

// shape holds the sizes that an op depends on.
type shape struct {
	keyDim, valueDim int
	heads, kvHeads   int
	rows             int // of q
	cells            int // of k and v
}

// passRows is the largest number of rows with which work is divided by ranges of cells. More rows
// are divided into passes, which share each loaded K and V: of as many rows, or of more if they are
// computed by columns.
const passRows = 16

// A long pass has at most as many rows as a word has bits, and as many vectors as their queries and
// outputs leave room for in a second-level cache. With twice as many or half as many, prompts took 1 to
// 5 % longer.
const (
	mostPassRows  = 64
	mostPassBytes = 64 << 10 // of queries, or of outputs
)

// A column is as many vectors as the widest register has lanes. With less than leastLanes of them,
// groups of up to four are as fast, and with heads of more than columnDim values too: there a column's
// queries and outputs leave no room in the first-level cache for a tile.
const (
	column     = 16
	leastLanes = 13
	columnDim  = 160
)

// rangesOf returns into how many ranges the cells are divided.
//
// A range is the unit of work where there are few rows. Ranges begin at the same cells however many
// cells there are and whichever thread computes them, so that a row's result depends only on the
// row. They are short enough that the threads finish at about the same time, and few enough that
// adding up their results takes no measurable time: 256 cells each up to cell 4096, and from there
// on an eighth of the cells before the range, rounded down to a power of two. kernel_amd64.s has a
// table of their first cells.
func rangesOf(cells int) int {
	n := 0
	for c := 0; c < cells || n == 0; n++ {
		c += rangeCells(c)
	}
	return n
}

// rangeCells returns how many cells the range has that begins at cell c.
func rangeCells(c int) int {
	n := 256
	for 16*n <= c {
		n *= 2
	}
	return n
}

// tileCells returns how many cells are computed at a time: their K and V as f32 fit into the
// first-level cache beside the queries, or with heads of more than 128 values into the second. It
// divides the length of every range.
func tileCells(dim int) int {
	switch {
	case dim <= 64:
		return 32
	default:
		return 16
	}
}

// takesTiles reports whether AMX computes an op: one with more than one pass, and with heads of whole
// tiles.
func (s shape) takesTiles() bool {
	return s.rows > passRows && s.keyDim%tileDims == 0 && s.valueDim%tileDims == 0
}

// What a tile of AMX holds: cells, and numbers of a key or value.
const (
	tilesCells = 32
	tileDims   = 32
)

// division is how the rows of a tree are divided into passes, and what a pass takes.
type division struct {
	pass     int   // rows at most
	lanes    int   // of a column that must have a vector; 0: no pass is computed by columns
	room     int64 // vectors of a pass, rounded up to whole groups or columns
	partSize int64 // of the result of a range, in bytes
}

// division returns how the rows are divided if all of them are of one tree.
func (s shape) division(threads int, set isa.ISA) (d division) {
	d.pass = s.pass(threads, set)
	d.room = int64(min(s.rows, d.pass) * (s.heads / s.kvHeads))
	d.lanes = s.lanes(set, int(d.room))
	whole := int64(4) // vectors of a group
	if d.lanes > 0 {
		whole = column
	}
	d.room = (d.room + whole - 1) / whole * whole
	d.partSize = s.partSize(d.room)
	return d
}

// partSize returns how many bytes the result of a range takes that has room for some vectors: their
// maxima, sums and outputs.
func (s shape) partSize(room int64) int64 { return align(8*room) + room*int64(4*s.valueDim) }

// partsSize returns how many bytes the results of all ranges of some cells take.
func (s shape) partsSize(d division, cells int) int64 {
	return int64(rangesOf(cells)*s.kvHeads) * d.partSize
}

// layout holds the offsets of the parts of an op's result, in bytes. The output and the
// log-sum-exps come first. The scratch follows at a multiple of 64: the ranges' results, and a
// frame and buffers for each thread.
type layout struct {
	division
	tile              int   // cells
	lse               int64 // where log-sum-exps begin
	parts             int64 // where the results of ranges begin
	frames, frameSize int64 // of the threads
	size              int64
}

// layout returns the layout of an op whose rows are of one tree.
func (s shape) layout(threads int, set isa.ISA) layout {
	d, parts := s.division(threads, set), int64(0)
	if s.rows <= passRows {
		parts = s.partsSize(d, s.cells)
	}
	return s.layoutOf(d, parts, threads, set)
}

// layoutOf returns the layout of an op whose passes take no more than a division, and the results of
// ranges some bytes.
func (s shape) layoutOf(d division, parts int64, threads int, set isa.ISA) layout {
	l := layout{division: d, tile: tileCells(max(s.keyDim, s.valueDim))}
	if set == isa.AMX {
		l.tile = tilesCells
	}
	keyBytes, valueBytes := int64(4*s.keyDim), int64(4*s.valueDim)
	l.lse = valueBytes * int64(s.heads) * int64(s.rows)
	l.parts = align(l.lse + 4*int64(s.heads)*int64(s.rows))
	l.frames = l.parts + parts
	const frame, scores, masks = 1152, (32 + 3) * column * 4, 32 * 2
	l.frameSize = frame + scores + masks + 2*align(4*int64(l.pass)) + align(4*l.room) +
		int64(l.tile)*(keyBytes+valueBytes) + l.room*keyBytes + 2*l.partSize
	if set == isa.AMX { // three pieces of 2 bytes of the queries, the tile's keys and values, and the weights; the next scores
		const pieces = 3 * 2
		l.frameSize += pieces*(l.room*int64(s.keyDim)+tilesCells*(column+int64(s.keyDim+s.valueDim))) + scores + 4*column*(2+tilesCells*3/2)
	}
	l.size = l.frames + int64(threads)*l.frameSize + 64 // as scratch may begin so much later
	return l
}

// columns reports whether there are functions for columns of the op's vectors.
func (s shape) columns(set isa.ISA) bool {
	return set == isa.AMX || set == isa.AVX512 && max(s.keyDim, s.valueDim) <= columnDim
}

// lanes returns how many of a column's lanes must have a vector where a pass of at most so many
// vectors is computed by columns. It is 0 if none is.
func (s shape) lanes(set isa.ISA, vectors int) int {
	switch columns := (vectors + column - 1) / column; {
	case set == isa.AMX:
		return 1
	case s.columns(set) && vectors >= leastLanes*columns:
		return leastLanes
	default:
		return 0
	}
}

// pass returns the number of rows of a pass. Where there are columns, a long pass converts K and V to
// f32 seldom, and many passes keep all threads busy to the end; all but the last have whole columns. A
// row's result does not depend on it.
func (s shape) pass(threads int, set isa.ISA) int {
	if s.rows <= passRows || !s.columns(set) {
		return passRows
	}
	group := s.heads / s.kvHeads
	vectorBytes := 4 * max(s.keyDim, s.valueDim)
	most := max(min(mostPassRows, mostPassBytes/(group*vectorBytes)), passRows)
	const least, items = 2 * column, 4 // vectors of a pass; passes of all heads for each thread
	passes := max(2, (s.rows+most-1)/most, min((items*threads+s.kvHeads-1)/s.kvHeads, s.rows*group/least))
	whole := column / gcd(column, group)
	n := (s.rows + passes - 1) / passes
	return max(n/whole, 1) * whole
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func align(n int64) int64 { return (n + 63) &^ 63 }
