package exec

import (
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// inPlace says where the rows of a chunk's trees lie in a layer, if they lie where it computes, which is on
// the CPU: to which addresses new rows are written, and where the kernel finds all rows of each tree. So
// the layer's graph depends on the number of tokens alone. One layer is described at a time, before its
// graph is computed.
type inPlace struct {
	words *ggml.Tensor // i64; nil: no layer is described

	all   []int64 // on their way
	parts []kv.Part
	trees []attend.Tree
}

// attendsInPlace reports whether attention to a layer's rows is one operation for all trees if the rows are
// in place.
func (vs *visibilities) attendsInPlace(l model.Layer) bool {
	return attends(l) && vs.kernel(l) && !vs.attention.Tiles()
}

// attends reports whether a layer attends to rows.
func attends(l model.Layer) bool { return l.KVHeads > 0 || l.SharesKV }

// tableAt returns where the table of trees begins, behind the addresses of the new keys and values of some
// tokens: a multiple of 64 bytes.
func tableAt(tokens, kvHeads int) int { return (2*tokens*kvHeads + 7) &^ 7 }

// newInPlace makes the tensor for chunks of some tokens.
func (in *inputs) newInPlace(tokens int) {
	most := 0
	for _, l := range in.layers {
		if in.visibilities.attendsInPlace(l) {
			most = max(most, tableAt(tokens, l.KVHeads)+attend.TableWords(tokens))
		}
	}
	if in.inPlace.words = nil; most > 0 {
		in.inPlace.words = in.meta.New(ggml.I64, int64(most))
	}
}

// tensors returns the tensor, if there is one.
func (p *inPlace) tensors() []*ggml.Tensor {
	if p.words == nil {
		return nil
	}
	return []*ggml.Tensor{p.words}
}

// attendInPlace writes the new rows of a chunk, unless the layer shares another's, and attends over the
// rows of all its trees.
func (g *graphs) attendInPlace(layer int, lg *layerGraph, q, k, v *ggml.Tensor) *ggml.Tensor {
	gr, in, c, n := lg.graph, g.inputs, g.config.Layers[layer], lg.shape.n
	words, tokens, heads := in.inPlace.words, int64(n), int64(c.KVHeads)
	if lg.writes = k != nil; lg.writes {
		for i, t := range [...]*ggml.Tensor{k, v} {
			at := gr.View2D(words, tokens, heads, tokens*8, int64(i)*tokens*heads*8)
			gr.Expand(gr.SetRowsAt([...]ggml.Type{in.k, in.v}[i], gr.Permute(t, 0, 2, 1, 3), at)) // [dim, tokens, kvHeads]
		}
	}
	at := int64(tableAt(n, c.KVHeads))
	table, spans := gr.View1D(words, words.Ne(0)-at, at*8), in.visibilities.of(c).spans
	rows := attend.Rows{Type: in.k, KVHeads: c.KVHeads, ValueDim: c.ValueDim, Cells: in.cells}
	if c.Window > 0 {
		rows.Cells = in.ringOf(c.Window)
	}
	out, trees := in.attention.Trees(gr, q, table, spans, rows, g.scores(layer))
	lg.trees = trees
	return out // [valueDim, heads, tokens]
}

// describe writes where the rows of a chunk's trees lie in a layer. What tokens see has been written.
func (in *inputs) describe(step *kv.Step, layer *kv.Layer, chunk int, lg *layerGraph) {
	p, c, of := &in.inPlace, in.layers[layer.Index], step.Chunks()[chunk]
	v := in.visibilities.of(c)
	p.parts = layer.Parts(chunk, p.parts[:0])
	at := tableAt(of.N, c.KVHeads)
	if cap(p.all) < at {
		p.all = make([]int64, at, at+attend.TableWords(len(p.parts)))
	}
	p.all, p.trees = p.all[:at], p.trees[:0]
	cells, stride := step.Places(v.window)[of.First:], v.spanStride()
	for i, part := range p.parts {
		first := part.First - of.First
		p.trees = append(p.trees, attend.Tree{
			First: first, N: part.N, Spans: first * stride, Cells: v.ends[i], Keys: part.Rows.K, Values: part.Rows.V,
		})
		if lg.writes {
			addresses(p.all[first:], cells[first:first+part.N], of.N, part.Rows.K)
			addresses(p.all[of.N*c.KVHeads+first:], cells[first:first+part.N], of.N, part.Rows.V)
		}
	}
	p.all = append(p.all, lg.trees.Table(p.trees)...)
	ggml.SetSlice(p.words, p.all, 0)
}

// addresses writes where the rows of cells lie, one head after the other, each stride behind the last one.
func addresses(to []int64, cells []int64, stride int, rows *ggml.Tensor) {
	cell := rows.Nb(1)
	for h := range int(rows.Ne(2)) {
		head, these := int64(rows.Address())+int64(h)*rows.Nb(2), to[h*stride:][:len(cells)]
		for i, c := range cells {
			these[i] = head + c*cell
		}
	}
}
