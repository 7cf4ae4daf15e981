package kv

// Viewer is told which cells tokens see, token by token: runs of cells, and then the end of the
// token's row.
type Viewer interface {
	See(first, n int)
	EndRow(row int)
}

// Sees tells which cells the tokens of a part see, in order: the cells of the token's own sequence
// up to itself.
func (a *arrangement) Sees(p Part, v Viewer) {
	for i := a.workAt(p.First); i < len(a.works) && a.works[i].first < p.First+p.N; i++ {
		w := &a.works[i]
		from, to := max(p.First, w.first), min(p.First+p.N, w.end())
		for t := from; t < to; t++ {
			v.See(0, w.sealed)
			for _, r := range w.old {
				v.See(r.Start, r.N)
			}
			left := t - w.first + 1
			for _, r := range w.runs {
				r.N = min(r.N, left)
				v.See(r.Start, r.N)
				if left -= r.N; left == 0 {
					break
				}
			}
			v.EndRow(t - p.First)
		}
	}
}

// The values of the attention mask, in half precision.
const (
	visible uint16 = 0
	hidden  uint16 = 0xFC00 // -Inf
)

// Mask writes the attention mask of a part: for each of its tokens in order a row of Part.Cells
// half-precision values, 0 for the cells that [Step.Sees] tells and -Inf for the others. len(dst)
// is Part.N × Part.Cells.
func (a *arrangement) Mask(p Part, dst []uint16) {
	fill(dst, hidden)
	a.masker = masker{dst: dst, cells: p.Cells}
	a.Sees(p, &a.masker)
}

// masker writes a mask row by row: rows come in order.
type masker struct {
	dst   []uint16 // from the row on
	cells int
}

func (m *masker) See(first, n int) { fill(m.dst[first:first+n], visible) }

func (m *masker) EndRow(int) { m.dst = m.dst[m.cells:] }

// fill sets all values, by copies that double what is set.
func fill(s []uint16, v uint16) {
	if len(s) == 0 {
		return
	}
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}
