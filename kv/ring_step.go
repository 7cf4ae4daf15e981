package kv

import (
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// ringed is where the rows of a step are in the rings of its trees, by the number of the window.
type ringed struct {
	windows []window
	places  [][]int64 // of each token
	parts   [][]Part  // of all chunks

	needs []need // of the chunk that is planned
	cells []tier.Run
}

// begin makes room for the tokens of a step.
func (r *ringed) begin(windows []window, tokens int) {
	r.windows = windows
	for len(r.places) < len(windows) {
		r.places, r.parts = append(r.places, nil), append(r.parts, nil)
	}
	for n := range windows {
		r.places[n] = slices.Grow(r.places[n][:0], tokens)[:tokens]
		r.parts[n] = r.parts[n][:0]
	}
}

// needs appends what the works of a tree need in a chunk under a window, and the runs of cells of it.
func (a *arrangement) needs(c Chunk, tree, window int, needs []need, cells []tier.Run) ([]need, []tier.Run) {
	for i := a.workAt(c.First); i < len(a.works) && a.works[i].first < c.First+c.N; i++ {
		w := &a.works[i]
		if w.tree != tree {
			continue
		}
		from, to := max(c.First, w.first), min(c.First+c.N, w.end())
		position, begin := w.past+from-w.first, len(cells)
		old := min(position, window-1)
		cells = w.appendCells(cells, position-old, position+to-from)
		needs = append(needs, need{first: from, n: to - from, position: position - old, old: old, cells: cells[begin:len(cells):len(cells)]})
	}
	return needs, cells
}

// appendCells appends the cells of the tokens at positions [from, to).
func (w *work) appendCells(cells []tier.Run, from, to int) []tier.Run {
	add := func(r tier.Run) {
		if skipped := min(from, r.N); skipped < min(r.N, to) {
			cells = append(cells, tier.Run{Start: r.Start + skipped, N: min(r.N, to) - skipped})
		}
		from, to = max(0, from-r.N), max(0, to-r.N)
	}
	add(tier.Run{N: w.sealed})
	for _, runs := range [...][]tier.Run{w.old, w.runs} {
		for _, r := range runs {
			if to == 0 {
				return cells
			}
			add(r)
		}
	}
	return cells
}

// layParts makes the parts of all chunks in layers with rings: attention spans the places that their
// tokens see.
func (a *arrangement) layParts() {
	for n := range a.ringed.windows {
		for _, c := range a.chunks {
			mask := 0
			for _, p := range c.Parts {
				p.Mask, p.Cells = mask, a.trees[p.Tree].rings[n].span(p.First, p.N)
				mask += p.N * p.Cells
				a.ringed.parts[n] = append(a.ringed.parts[n], p)
			}
		}
	}
}

// Parts returns the parts of a chunk in layers with a window; 0 is none. In layers with rings,
// attention spans the places of the ring.
func (a *arrangement) Parts(chunk, window int) []Part {
	number := windowOf(a.ringed.windows, window)
	if number == nowhere {
		return a.chunks[chunk].Parts
	}
	return a.partsIn(chunk, number)
}

// partsIn returns the parts of a chunk in the layers of a ring.
func (a *arrangement) partsIn(chunk, number int) []Part {
	first := 0
	for i := range chunk {
		first += len(a.chunks[i].Parts)
	}
	return a.ringed.parts[number][first : first+len(a.chunks[chunk].Parts)]
}

// Places returns where the rows of the step's tokens are in layers with a window: their cells, or
// their places in layers with rings.
func (a *arrangement) Places(window int) []int64 {
	if number := windowOf(a.ringed.windows, window); number != nowhere {
		return a.ringed.places[number]
	}
	return a.cells
}
