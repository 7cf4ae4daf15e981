package exec

import (
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// visibility holds, in device memory, which cells the tokens of a chunk see: as spans for layers to
// which the kernel attends, and as a mask for the others. All layers of a model share it; layers
// with windows would need one for each window.
type visibility struct {
	attention attend.Attention
	k, v      ggml.Type
	cells     int // capacity of a sequence tree
	chunk     int // the chunk whose visibility is on the device; -1: none

	mask    *ggml.Tensor // [room.mask] f16: those of a chunk's parts; nil: no layer needs it
	spans   *ggml.Tensor // [room.chunk × spanStride] i32; nil: no layer needs it
	kvHeads int          // the most that a layer with spans has

	bits  []uint16 // a mask on its way to the device
	words attend.Spans
}

// spanStride is the number of words from the spans of a token to those of the next: the most that
// the spans of a token take, rounded up so that views are aligned.
func (v *visibility) spanStride() int {
	n := attend.SpansWords(v.kvHeads, 1, v.cells)
	return (n + kv.InputAlign - 1) / kv.InputAlign * kv.InputAlign
}

// newVisibility makes the tensors that the layers need, with some room.
func newVisibility(meta *ggml.Context, a attend.Attention, layers []model.Layer, s sizes, r room) *visibility {
	out := &visibility{attention: a, k: s.k, v: s.v, cells: s.cells, chunk: -1}
	for _, l := range layers {
		switch {
		case out.kernel(l):
			out.kvHeads = max(out.kvHeads, l.KVHeads)
		case out.mask == nil:
			out.mask = meta.New(ggml.F16, int64(r.mask))
		}
	}
	if out.kvHeads > 0 {
		out.spans = meta.New(ggml.I32, int64(r.chunk)*int64(out.spanStride()))
	}
	return out
}

// tensors returns the tensors that need memory.
func (v *visibility) tensors() (all []*ggml.Tensor) {
	for _, t := range [...]*ggml.Tensor{v.spans, v.mask} {
		if t != nil {
			all = append(all, t)
		}
	}
	return all
}

// kernel reports whether the kernel attends to a layer.
func (v *visibility) kernel(l model.Layer) bool {
	return v.attention.Kernel(v.k, v.v, l.KeyDim, l.ValueDim)
}

// of returns the spans or the mask of a part of a chunk, for a layer; first is the part's first
// token in the chunk.
func (v *visibility) of(g *ggml.Graph, l model.Layer, p kv.Part, first int) *ggml.Tensor {
	n := int64(p.N)
	if v.kernel(l) {
		each := int64(v.spanStride())
		return g.View1D(v.spans, n*each, int64(first)*each*4)
	}
	return g.View2D(v.mask, int64(p.Cells), n, int64(p.Cells)*2, int64(p.Mask)*2) // [cells, tokens]
}

// set writes the visibility of a chunk to the device, unless it is there already.
func (v *visibility) set(step *kv.Step, chunk int) {
	if v.chunk == chunk {
		return
	}
	v.chunk = chunk
	c := step.Chunks()[chunk]
	for _, p := range c.Parts {
		if v.spans != nil {
			v.words.Reset(v.kvHeads, p.N)
			step.Sees(p, &v.words)
			ggml.SetSlice(v.spans, v.words.Words(), int64(p.First-c.First)*int64(v.spanStride())*4)
		}
		if v.mask == nil {
			continue
		}
		n := p.N * p.Cells
		if cap(v.bits) < n {
			v.bits = make([]uint16, n)
		}
		step.Mask(p, v.bits[:n])
		ggml.SetSlice(v.mask, v.bits[:n], int64(p.Mask)*2)
	}
}

// forget drops the memory in which large chunks were prepared.
func (v *visibility) forget() { v.bits, v.words = nil, attend.Spans{} }

// seeAll makes the first token of a chunk see some cells. A mask that was cleared shows all of them
// already.
func (v *visibility) seeAll(cells int) {
	if v.spans == nil {
		return
	}
	v.words.Reset(v.kvHeads, 1)
	v.words.See(0, cells)
	v.words.EndRow(0)
	ggml.SetSlice(v.spans, v.words.Words(), 0)
}
