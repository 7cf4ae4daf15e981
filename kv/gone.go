package kv

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// GoneError says that layers with windows do not keep the rows any more that the next token of a
// sequence sees there: it was truncated, or forked, further back than [Options.WindowRows] allows.
// Nothing has changed. If the sequence is truncated to From tokens and the others are computed again,
// it can go on.
type GoneError struct {
	Seq  *Seq
	Len  int // tokens of the sequence
	From int // whose rows, and those before it that are seen, are all there
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("kv: layers with windows do not keep the rows behind their windows that a sequence of %d tokens needs: compute its tokens again from token %d on, or keep more of these rows", e.Len, e.From)
}

// gone returns why the rows that works of a tree need are not there.
func (s *Step) gone(tree int) error {
	for i := range s.works {
		w := &s.works[i]
		if w.tree != tree {
			continue
		}
		if from := s.trees[tree].complete(w); from < w.past {
			return &GoneError{Seq: w.Seq, Len: w.past, From: from}
		}
	}
	return noMemory("kv: the sequences of a batch need more of the rows behind windows at a time than are kept: take fewer sequences, or keep more of these rows")
}

// complete returns the most tokens of a work's sequence after which all rows are there that the next
// token sees.
func (t *tree) complete(w *work) int {
	return t.seen(listCells(w.appendCells(nil, 0, w.past)))
}

// seen returns the most of some tokens, given by their cells, after which all rows are there that the next
// token sees.
func (t *tree) seen(cells []int) (n int) {
	n = len(cells)
	for missing := true; missing; {
		missing = false
		for _, r := range t.rings {
			first := max(0, n-r.window+1)
			if i := slices.IndexFunc(cells[first:n], r.lacks); i >= 0 { // all numbers between see that row, too
				n, missing = first+i, true
			}
		}
	}
	return n
}

// listCells returns the cells of runs.
func listCells(runs []tier.Run) (cells []int) {
	for _, r := range runs {
		for c := r.Start; c < r.End(); c++ {
			cells = append(cells, c)
		}
	}
	return cells
}

// lacks reports whether the row of a cell is neither in the ring nor in the tier.
func (r *ring) lacks(cell int) bool { return r.place(cell) == nowhere && !r.past.has(cell) }

// keptFrom returns from which token on a sequence with these cells has its rows in all layers.
func (t *tree) keptFrom(cells []int) (from int) {
	for _, r := range t.rings {
		for i := len(cells) - 1; i >= from; i-- {
			if r.lacks(cells[i]) {
				from = i + 1
			}
		}
	}
	return from
}
