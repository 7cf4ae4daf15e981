package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// view is the places of the rows that the tokens of a work see in a chunk.
type view struct {
	first, n   int // tokens of the step
	position   int // of the first of the rows
	old        int // rows before theirs
	begin, end int // places of all these rows among the runs of the ring, in the order of positions
}

// look notes where the rows are that a work needs. They have places.
func (r *ring) look(n need) {
	v := view{first: n.first, n: n.n, position: n.position, old: n.old, begin: len(r.runs)}
	for _, run := range n.cells {
		for c := run.Start; c < run.End(); c++ {
			place := int(r.places[c])
			if last := len(r.runs) - 1; last >= v.begin && r.runs[last].End() == place {
				r.runs[last].N++
			} else {
				r.runs = append(r.runs, tier.Run{Start: place, N: 1})
			}
		}
	}
	v.end = len(r.runs)
	r.views = append(r.views, v)
}

// viewOf returns the number of the view of a token of the open step.
func (r *ring) viewOf(token int) int {
	i, _ := slices.BinarySearchFunc(r.views, token, func(v view, token int) int { return v.first + v.n - token - 1 })
	return i
}

// sees tells which places the tokens of a part see.
func (r *ring) sees(p Part, to Viewer) {
	i := r.viewOf(p.First)
	for t := p.First; t < p.First+p.N; t++ {
		v := &r.views[i]
		if t == v.first+v.n {
			i++
			v = &r.views[i]
		}
		end := v.old + t - v.first + 1
		position := v.position + max(0, end-r.window)
		v.between(r.runs, max(0, end-r.window), end, func(first, n int) {
			r.alone(position, first, n, to.See)
			position += n
		})
		to.EndRow(t - p.First)
	}
}

// alone divides a run of places where a sequence alone would have reached the end of the ring. Its first
// row is that of a position, which would have the place of its number modulo the size that a ring has at
// first.
func (r *ring) alone(position, first, n int, see func(alone, first, n int)) {
	for n > 0 {
		alone := position % r.least
		some := min(n, r.least-alone)
		see(alone, first, some)
		position, first, n = position+some, first+some, n-some
	}
}

// strewn reports whether a view has rows at other places than they would have alone.
func (r *ring) strewn() (is bool) {
	for _, v := range r.views {
		position := v.position
		for _, run := range r.runs[v.begin:v.end] {
			r.alone(position, run.Start, run.N, func(alone, first, _ int) { is = is || alone != first })
			position += run.N
		}
	}
	return is
}

// between calls each with the runs of places of the rows [from, to) of a view.
func (v *view) between(runs []tier.Run, from, to int, each func(first, n int)) {
	for _, run := range runs[v.begin:v.end] {
		if to <= 0 {
			return
		}
		if skipped := min(from, run.N); skipped < run.N {
			each(run.Start+skipped, min(run.N, to)-skipped)
		}
		from, to = max(0, from-run.N), to-run.N
	}
}

// span returns the end of the places that the tokens [first, first+n) of the step see, in whole
// blocks.
func (r *ring) span(first, n int) (cells int) {
	for i := range r.views {
		v := &r.views[i]
		if v.first+v.n <= first || v.first >= first+n {
			continue
		}
		for _, run := range r.runs[v.begin:v.end] {
			cells = max(cells, run.End())
		}
	}
	return plan.WholeBlocks(cells)
}
