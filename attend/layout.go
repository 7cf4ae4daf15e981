package attend

// shape holds the sizes that an op depends on.
type shape struct {
	keyDim, valueDim int
	heads, kvHeads   int
	rows             int // of q
	cells            int // of k and v
}

// passRows is the largest number of rows that share each loaded K and V. Up to that many rows, work
// is divided by ranges of cells, and above it by rows.
const passRows = 16

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

// layout holds the offsets of the parts of an op's result, in bytes. The output and the
// log-sum-exps come first. The scratch follows at a multiple of 64: the ranges' results, and a
// frame and buffers for each thread.
type layout struct {
	tile              int   // cells
	lse               int64 // where log-sum-exps begin
	parts, partSize   int64 // of the ranges
	frames, frameSize int64 // of the threads
	size              int64
}

func (s shape) layout(threads int) layout {
	l := layout{tile: tileCells(max(s.keyDim, s.valueDim))}
	keyBytes, valueBytes := int64(4*s.keyDim), int64(4*s.valueDim)
	l.lse = valueBytes * int64(s.heads) * int64(s.rows)
	end := align(l.lse + 4*int64(s.heads)*int64(s.rows))

	room := int64((min(s.rows, passRows)*(s.heads/s.kvHeads) + 3) / 4 * 4) // vectors of a pass
	l.partSize = align(8*room) + room*valueBytes
	l.parts = end
	if s.rows <= passRows {
		end += int64(rangesOf(s.cells)*s.kvHeads) * l.partSize
	}
	l.frames = end
	const frame, scores = 1024, (32*4 + 16) * 4
	l.frameSize = frame + scores + 2*align(4*passRows) + align(4*room) +
		int64(l.tile)*(keyBytes+valueBytes) + room*keyBytes + 2*l.partSize
	l.size = l.frames + int64(threads)*l.frameSize + 64 // as scratch may begin so much later
	return l
}

func align(n int64) int64 { return (n + 63) &^ 63 }
