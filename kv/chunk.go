package kv

import "github.com/seed4d217819/ebb/plan"

// Chunk is tokens of a step that one graph computes.
type Chunk struct {
	First, N int    // tokens of the step
	Parts    []Part // its tokens tree by tree, in order
}

// Part is the tokens of a chunk that are of one tree and attend together. It goes from the cache to
// the graphs: with the rows of a layer, from [Layer.Parts], it says all that the part's attention
// in a graph depends on, so that graphs are kept by it. Parts are compared with ==.
type Part struct {
	Tree     int  // ordinal of the tree in the step
	First, N int  // tokens of the step
	Cells    int  // attention spans the cells [0, Cells): whole blocks
	Input    int  // element at which its inputs lie among those of the step: see InputAlign
	Mask     int  // element at which its mask lies among those of the chunk, each of N × Cells
	Rows     Rows // of the tree in a layer; none in [Chunk.Parts]
}

// InputAlign is the number of elements of which [Part.Input] is a multiple, so that a view of a
// part's inputs is aligned for every device. Parts do not overlap, and the inputs of all parts of a
// chunk begin at that of the first, in the order of the tokens, if they are laid out for the chunk
// and not for its parts. All lie within InputAlign elements a token of the step.
const InputAlign = plan.InputAlign

// cut divides the step's tokens into chunks, and these into parts.
func (a *arrangement) cut(chunkTokens int) {
	input := 0
	for first := 0; first < len(a.tokens); first += chunkTokens {
		c := Chunk{First: first, N: min(chunkTokens, len(a.tokens)-first)}
		begin := len(a.parts)
		for i := a.workAt(first); i < len(a.works) && a.works[i].first < first+c.N; i++ {
			w := &a.works[i]
			from, to := max(first, w.first), min(first+c.N, w.end())
			if n := len(a.parts); n == begin || a.parts[n-1].Tree != w.tree {
				a.parts = append(a.parts, Part{Tree: w.tree, First: from})
			}
			p := &a.parts[len(a.parts)-1]
			p.N += to - from
			p.Cells = max(p.Cells, plan.WholeBlocks(w.span(to-w.first)))
		}
		c.Parts = a.parts[begin:]
		mask := 0
		for i := range c.Parts {
			p := &c.Parts[i]
			p.Input, p.Mask = input, mask
			input += (p.N + InputAlign - 1) / InputAlign * InputAlign
			mask += p.N * p.Cells
		}
		a.chunks = append(a.chunks, c)
	}
}
