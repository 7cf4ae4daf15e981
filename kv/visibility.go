package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Viewer is told which cells tokens see, token by token: runs of cells in the order of their tokens, and
// then the end of the token's row. alone is the cell in which the first of a run would be if the
// sequence had no forks and never had any.
type Viewer interface {
	See(alone, first, n int)
	EndRow(row int)
}

// Sees tells which cells the tokens of a part see in layers with a window, in order: the cells of the
// last tokens of the token's own sequence, as many as the window says, up to itself. Without a
// window, 0, it is all of them. In layers with rings it tells their places.
func (a *arrangement) Sees(p Part, window int, v Viewer) {
	if number := windowOf(a.ringed.windows, window); number != nowhere {
		a.trees[p.Tree].rings[number].sees(p, v)
		return
	}
	for i := a.workAt(p.First); i < len(a.works) && a.works[i].first < p.First+p.N; i++ {
		w := &a.works[i]
		from, to := max(p.First, w.first), min(p.First+p.N, w.end())
		for t := from; t < to; t++ {
			w.sees(t-w.first+1, window, v)
			v.EndRow(t - p.First)
		}
	}
}

// sees tells which cells the last of the first n new tokens sees.
func (w *work) sees(n, window int, v Viewer) {
	position, hidden, left := 0, 0, w.past+n // hidden before the window, and left up to this token
	if window > 0 {
		hidden = max(0, left-window)
	}
	see := func(r tier.Run) {
		r.N = min(r.N, left)
		left -= r.N
		behind := min(hidden, r.N)
		hidden -= behind
		v.See(position+behind, r.Start+behind, r.N-behind)
		position += r.N
	}
	see(tier.Run{N: w.sealed})
	for _, r := range w.old {
		see(r)
	}
	for _, r := range w.runs {
		if left == 0 {
			return
		}
		see(r)
	}
}

// Strewn reports whether sequences of the step have rows elsewhere than they would have alone, in layers
// with a window; 0 is none.
func (a *arrangement) Strewn(window int) bool {
	if number := windowOf(a.ringed.windows, window); number != nowhere {
		return slices.ContainsFunc(a.trees, func(t stepTree) bool { return t.rings[number].strewn() })
	}
	return slices.ContainsFunc(a.works, func(w work) bool { return w.strewn() })
}

// strewn reports whether tokens of the sequence have other cells than the numbers of their positions.
func (w *work) strewn() bool {
	position := w.sealed
	for _, runs := range [...][]tier.Run{w.old, w.runs} {
		for _, r := range runs {
			if r.Start != position {
				return true
			}
			position += r.N
		}
	}
	return false
}

// The values of the attention mask, in half precision.
const (
	visible uint16 = 0
	hidden  uint16 = 0xFC00 // -Inf
)

// Mask writes the attention mask of a part, one of [Step.Parts] for the window: for each of its tokens
// in order a row of Part.Cells half-precision values, 0 for the cells that [Step.Sees] tells and -Inf
// for the others. len(dst) is Part.N × Part.Cells.
func (a *arrangement) Mask(p Part, window int, dst []uint16) {
	fill(dst, hidden)
	a.masker = masker{dst: dst, cells: p.Cells}
	a.Sees(p, window, &a.masker)
}

// masker writes a mask row by row: rows come in order.
type masker struct {
	dst   []uint16 // from the row on
	cells int
}

func (m *masker) See(_, first, n int) { fill(m.dst[first:first+n], visible) }

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
