package exec

import (
	"math"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// visibility holds, in device memory, where the rows of tokens are in the layers with a window, and
// which rows the tokens of a chunk see there: as spans for layers to which the kernel attends, and as a
// mask for the others.
type visibility struct {
	window   int // tokens that a token sees; 0: all
	capacity int // cells of a sequence tree
	chunk    int // the chunk whose visibility is on the device; -1: none

	cells   *ggml.Tensor // [tokens × InputAlign] i64: those of a part from kv.Part.Input on, or places of rings
	mask    *ggml.Tensor // [room.mask or room.windowMask] f16: those of a chunk's parts; nil: no layer needs it
	spans   *ggml.Tensor // [room.chunk × spanStride + room.lists] i32; nil: no layer needs it
	listsAt int          // where in spans the lists of a chunk's cells begin
	kvHeads int          // the most that a layer with spans has

	ends  []int    // by part of the chunk, the cell from which on no token sees any
	bits  []uint16 // a mask on its way to the device
	words attend.Spans
}

// visibilities are those of a device: one for each window that layers have.
type visibilities struct {
	attention attend.Attention
	k, v      ggml.Type
	each      []*visibility
}

// spanStride is the number of words from the spans of a token to those of the next: the most that
// the spans of a token take, rounded up so that views are aligned.
func (v *visibility) spanStride() int {
	n := attend.SpansWords(v.kvHeads, 1, v.capacity)
	return (n + kv.InputAlign - 1) / kv.InputAlign * kv.InputAlign
}

// newVisibilities makes a visibility for each window that layers have, with the tensors that these
// layers need and some room.
func newVisibilities(meta *ggml.Context, a attend.Attention, layers []model.Layer, s sizes, r room) visibilities {
	out := visibilities{attention: a, k: s.k, v: s.v}
	for _, l := range layers {
		if !attends(l) {
			continue
		}
		v := out.of(l)
		if v == nil {
			v = &visibility{window: l.Window, capacity: s.cells, chunk: -1}
			v.cells = meta.New(ggml.I64, int64(r.tokens)*kv.InputAlign)
			out.each = append(out.each, v)
		}
		switch {
		case out.kernel(l):
			v.kvHeads = max(v.kvHeads, l.KVHeads)
		case v.mask == nil && l.Window > 0:
			v.mask = meta.New(ggml.F16, int64(r.windowMask))
		case v.mask == nil:
			v.mask = meta.New(ggml.F16, int64(r.mask))
		}
	}
	for _, v := range out.each {
		if v.kvHeads > 0 {
			v.listsAt = r.chunk * v.spanStride()
			v.spans = meta.New(ggml.I32, int64(v.listsAt+r.lists))
		}
	}
	return out
}

// of returns the visibility of a layer.
func (vs *visibilities) of(l model.Layer) *visibility {
	for _, v := range vs.each {
		if v.window == l.Window {
			return v
		}
	}
	return nil
}

// kernel reports whether the kernel attends to a layer.
func (vs *visibilities) kernel(l model.Layer) bool {
	return vs.attention.Kernel(vs.k, vs.v, l.KeyDim, l.ValueDim)
}

// places returns the tensors that say where rows are.
func (vs *visibilities) places() (all []*ggml.Tensor) {
	for _, v := range vs.each {
		all = append(all, v.cells)
	}
	return all
}

// tensors returns those that say what tokens see, which need memory.
func (vs *visibilities) tensors() (all []*ggml.Tensor) {
	for _, v := range vs.each {
		for _, t := range [...]*ggml.Tensor{v.spans, v.mask} {
			if t != nil {
				all = append(all, t)
			}
		}
	}
	return all
}

// forget says that the device has no chunk's visibility.
func (vs *visibilities) forget() {
	for _, v := range vs.each {
		v.chunk = -1
	}
}

// shrink drops the memory in which large chunks were prepared.
func (vs *visibilities) shrink() {
	for _, v := range vs.each {
		v.bits, v.words = nil, attend.Spans{}
	}
}

// inputs returns the spans or the mask of a part of a chunk in a layer; first is the part's first
// token in the chunk. The spans go on with those of later parts and the lists of all.
func (vs *visibilities) inputs(g *ggml.Graph, l model.Layer, p kv.Part, first int) *ggml.Tensor {
	v, n := vs.of(l), int64(p.N)
	if vs.kernel(l) {
		at := int64(first) * int64(v.spanStride())
		return g.View1D(v.spans, v.spans.Ne(0)-at, at*4)
	}
	return g.View2D(v.mask, int64(p.Cells), n, int64(p.Cells)*2, int64(p.Mask)*2) // [cells, tokens]
}

// set writes the visibility of a chunk to the device, unless it is there already.
func (v *visibility) set(step *kv.Step, chunk int) {
	if v.chunk == chunk {
		return
	}
	v.chunk = chunk
	c, listsAt := step.Chunks()[chunk], v.listsAt
	v.ends = v.ends[:0]
	for _, p := range step.Parts(chunk, v.window) {
		if v.spans != nil {
			at := (p.First - c.First) * v.spanStride()
			v.words.Reset(v.kvHeads, p.N, listsAt-at, int(v.spans.Ne(0))-listsAt)
			step.Sees(p, v.window, &v.words)
			v.ends = append(v.ends, v.words.Cells())
			ggml.SetSlice(v.spans, v.words.Words(), int64(at)*4)
			if lists := v.words.Lists(); len(lists) > 0 {
				ggml.SetSlice(v.spans, lists, int64(listsAt)*4)
				listsAt += len(lists)
			}
		}
		if v.mask == nil {
			continue
		}
		n := p.N * p.Cells
		if cap(v.bits) < n {
			v.bits = make([]uint16, n)
		}
		step.Mask(p, v.window, v.bits[:n])
		ggml.SetSlice(v.mask, v.bits[:n], int64(p.Mask)*2)
	}
}

// lists returns how many words the lists of a step's largest chunk take.
func (v *visibility) lists(step *kv.Step) (most int) {
	if v.spans == nil || !step.Strewn(v.window) {
		return 0
	}
	for chunk := range step.Chunks() {
		words := 0
		for _, p := range step.Parts(chunk, v.window) {
			v.words.Reset(v.kvHeads, p.N, 0, math.MaxInt)
			step.Sees(p, v.window, &v.words)
			words += len(v.words.Lists())
		}
		most = max(most, words)
	}
	return most
}

// seeAll makes the first token of a chunk see some cells. A mask that was cleared shows all of them
// already.
func (v *visibility) seeAll(cells int) {
	if v.spans == nil {
		return
	}
	v.words.Reset(v.kvHeads, 1, 0, 0)
	v.words.See(0, 0, cells)
	v.words.EndRow(0)
	ggml.SetSlice(v.spans, v.words.Words(), 0)
}
