package exec

import (
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// sight is what the tokens of a chunk see, in device memory: spans of cells for
// layers that the kernel attends to, and a mask for others.
type sight struct {
	attention attend.Attention
	k, v      ggml.Type
	cells     int // capacity of a sequence tree
	chunk     int // the one whose sight is on the device

	mask    *ggml.Tensor // [chunk × cells] f16; nil: no layer needs it
	spans   *ggml.Tensor // [chunk × spansApart] i32; nil: no layer needs it
	kvHeads int          // of the layers that spans are for, the most

	bits  []uint16 // a mask on its way there
	words attend.Spans
}

// spansApart is how far the spans of a token may lie from those of the next: what
// spans take at most, and what keeps them aligned.
func (s *sight) spansApart() int { return align(attend.SpansWords(s.kvHeads, 1, s.cells)) }

// newSight makes the tensors that the layers need, for chunks of some tokens.
func newSight(meta *ggml.Context, a attend.Attention, layers []model.Layer, s sizes) *sight {
	out := &sight{attention: a, k: s.k, v: s.v, cells: s.cells, chunk: -1}
	for _, l := range layers {
		switch {
		case out.kernel(l):
			out.kvHeads = max(out.kvHeads, l.KVHeads)
		case out.mask == nil:
			out.mask = meta.New(ggml.F16, int64(s.chunk)*int64(s.cells))
		}
	}
	if out.kvHeads > 0 {
		out.spans = meta.New(ggml.I32, int64(s.chunk)*int64(out.spansApart()))
	}
	return out
}

// tensors returns what needs memory.
func (s *sight) tensors() (all []*ggml.Tensor) {
	for _, t := range [...]*ggml.Tensor{s.spans, s.mask} {
		if t != nil {
			all = append(all, t)
		}
	}
	return all
}

// kernel reports whether the kernel attends to a layer.
func (s *sight) kernel(l model.Layer) bool {
	return s.attention.Kernel(s.k, s.v, l.KeyDim, l.ValueDim)
}

// of returns what a part of a chunk sees in a layer.
func (s *sight) of(g *ggml.Graph, l model.Layer, p partShape) *ggml.Tensor {
	n := int64(p.n)
	if s.kernel(l) {
		each := int64(s.spansApart())
		return g.View1D(s.spans, n*each, int64(p.first)*each*4)
	}
	return g.View2D(s.mask, int64(p.attended), n, int64(p.attended)*2, int64(p.mask)*2) // [cells, tokens]
}

// set writes what a chunk's tokens see unless it is there.
func (s *sight) set(step *kv.Step, chunk int, at place) {
	if s.chunk == chunk {
		return
	}
	s.chunk = chunk
	c := step.Chunks()[chunk]
	for i, part := range c.Parts {
		if s.spans != nil {
			s.words.Reset(s.kvHeads, part.N)
			step.Sees(part, &s.words)
			ggml.SetSlice(s.spans, s.words.Words(), int64(part.First-c.First)*int64(s.spansApart())*4)
		}
		if s.mask == nil {
			continue
		}
		n := part.N * part.Cells
		if cap(s.bits) < n {
			s.bits = make([]uint16, n)
		}
		step.Mask(part, s.bits[:n])
		ggml.SetSlice(s.mask, s.bits[:n], int64(at.parts[i].mask)*2)
	}
}

// seeAll makes the first token of a chunk see some cells, all of which a mask
// that was cleared shows already.
func (s *sight) seeAll(cells int) {
	if s.spans == nil {
		return
	}
	s.words.Reset(s.kvHeads, 1)
	s.words.See(0, cells)
	s.words.EndRow(0)
	ggml.SetSlice(s.spans, s.words.Words(), 0)
}
