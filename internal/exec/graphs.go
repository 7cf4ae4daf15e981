package exec

import (
	"slices"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// graphsKept is how many graphs are kept for a layer: those of the shapes used
// last. Decoding needs one for each place its rows may be in.
const graphsKept = 8

// graphs builds the graphs of a model's layers and keeps them for steps of the
// same shape. All share one scratch, as one is computed at a time.
type graphs struct {
	backend *ggml.Backend
	model   model.Model
	config  model.Config
	inputs  *inputs
	scratch *ggml.Scratch

	layers [][]*layerGraph // by layer, used last first
	parts  []partShape     // of the shape that was asked for last
	embeds []*graph
	heads  []*graph
}

// graph is one that needs no K/V, and the shape it was built for.
type graph struct {
	*ggml.Graph
	shape [3]int
}

// layerGraph is the graph of one layer for chunks of one shape.
type layerGraph struct {
	graph *ggml.Graph
	shape layerShape
	parts []graphPart     // what is computed, in order
	sent  [3]*ggml.Tensor // q, k and v, where attention is computed at the host
}

// graphPart is operations that need the rows of one tree, or of none.
type graphPart struct {
	graph *ggml.Graph
	tree  int // its ordinal in the step; noTree; atHost: the graph is the host's
	end   int // the part's operations end here
}

const (
	noTree = -1
	atHost = -2
)

// layerShape is all that a layer's graph depends on.
type layerShape struct {
	first, n, tokens int
	host             bool // attention is computed at the host
	parts            []partShape
}

// partShape is a part of a chunk: where its tokens and their inputs are.
type partShape struct {
	rows     uint64 // kv.Rows.ID
	tree     int    // ordinal in the step
	first, n int    // tokens of the chunk
	attended int    // cells that a mask has; 0 where there are spans instead
	cells    int    // in inputs.cells
	mask     int    // in sight.mask
}

func (s layerShape) equal(o layerShape) bool {
	return s.first == o.first && s.n == o.n && s.tokens == o.tokens && s.host == o.host && slices.Equal(s.parts, o.parts)
}

func newGraphs(b *ggml.Backend, m model.Model, in *inputs) *graphs {
	c := m.Config()
	return &graphs{backend: b, model: m, config: c, inputs: in, scratch: b.NewScratch(), layers: make([][]*layerGraph, len(c.Layers))}
}

// layer returns the graph of a layer for a chunk.
func (g *graphs) layer(step *kv.Step, layer *kv.Layer, chunk int) (*layerGraph, error) {
	return g.find(layer.Index, g.shape(step, layer, chunk), func(shape layerShape) *layerGraph { return g.build(layer, shape) })
}

// shape returns what the graph of a layer depends on. Its parts hold until the
// next call.
func (g *graphs) shape(step *kv.Step, layer *kv.Layer, chunk int) layerShape {
	c, at := step.Chunks()[chunk], g.inputs.places[chunk]
	g.parts = g.parts[:0]
	kernel := g.inputs.sight.kernel(g.config.Layers[layer.Index])
	for i, p := range c.Parts {
		part := partShape{rows: layer.Rows(p.Tree).ID, tree: p.Tree, first: p.First - c.First, n: p.N, cells: at.parts[i].cells}
		if !kernel {
			part.attended, part.mask = p.Cells, at.parts[i].mask
		}
		g.parts = append(g.parts, part)
	}
	return layerShape{first: c.First, n: c.N, tokens: at.tokens, host: layer.AtHost(), parts: g.parts}
}

// find returns the graph of a shape, built unless it is among those kept for the
// layer.
func (g *graphs) find(layer int, shape layerShape, build func(layerShape) *layerGraph) (*layerGraph, error) {
	kept := g.layers[layer]
	for i, lg := range kept {
		if lg.shape.equal(shape) {
			copy(kept[1:i+1], kept[:i])
			kept[0] = lg
			return lg, nil
		}
	}
	shape.parts = slices.Clone(shape.parts)
	lg := build(shape)
	if err := g.allocate(lg.graph); err != nil {
		return nil, err
	}
	lg.split()
	kept = g.layers[layer] // allocate may have dropped them
	if len(kept) == graphsKept {
		kept[graphsKept-1].graph.Close()
		kept = kept[:graphsKept-1]
	}
	g.layers[layer] = slices.Insert(kept, 0, lg)
	return lg, nil
}

// build makes a layer's graph. Attention stands in it tree by tree, so that the
// graph can be computed in parts as the trees' rows arrive.
func (g *graphs) build(layer *kv.Layer, shape layerShape) *layerGraph {
	gr := g.backend.NewGraph(64 + 32*len(shape.parts))
	lg := &layerGraph{graph: gr, shape: shape}
	n, from, to := int64(shape.n), g.inputs.x[layer.Index%2], g.inputs.x[(layer.Index+1)%2]
	x := gr.View2D(from, g.inputs.hidden, n, from.Nb(1), int64(shape.first)*from.Nb(1))
	pos := gr.View1D(g.inputs.pos, n, int64(shape.tokens)*4)
	y := g.model.Layer(gr, layer.Index, x, pos, func(q, k, v *ggml.Tensor) *ggml.Tensor {
		made := [...]*ggml.Tensor{q, k, v}
		for i, t := range made {
			if shape.host && !t.Contiguous() {
				made[i] = gr.Cont(t)
			}
			gr.Expand(made[i])
		}
		lg.cut(noTree)
		if shape.host {
			return g.fromHost(gr, layer, lg, made)
		}
		all := g.attendAll(gr, layer, shape, q, k, v, lg.cut)
		return gr.Reshape2D(all, all.Ne(0)*all.Ne(1), n) // [headDim × heads, tokens]
	})
	g.output(gr, y, to, shape.first)
	lg.cut(noTree)
	return lg
}

// attendAll attends part by part, and says where each ends.
func (g *graphs) attendAll(gr *ggml.Graph, layer *kv.Layer, shape layerShape, q, k, v *ggml.Tensor, cut func(tree int)) (all *ggml.Tensor) {
	for _, p := range shape.parts {
		out := g.part(gr, layer, p, q, k, v)
		gr.Expand(out)
		if cut != nil {
			cut(p.tree)
		}
		if all == nil {
			all = out
		} else {
			all = gr.Concat(all, out, 2)
		}
	}
	return all // [valueDim, heads, tokens]
}

// part writes the new rows of one tree and attends over all of them.
func (g *graphs) part(gr *ggml.Graph, layer *kv.Layer, p partShape, q, k, v *ggml.Tensor) *ggml.Tensor {
	rows, c := layer.Rows(p.tree), g.config.Layers[layer.Index]
	n := int64(p.n)
	of := func(t *ggml.Tensor) *ggml.Tensor { // [dim, heads, tokens of the part]
		return gr.View3D(t, t.Ne(0), t.Ne(1), n, t.Nb(1), t.Nb(2), int64(p.first)*t.Nb(2))
	}
	cells := gr.View1D(g.inputs.cells, n, int64(p.cells)*8)
	keys := gr.SetRows(rows.K, gr.Permute(of(k), 0, 2, 1, 3), cells)   // [headDim, cells, kvHeads]
	values := gr.SetRows(rows.V, gr.Permute(of(v), 0, 2, 1, 3), cells) // [valueDim, cells, kvHeads]
	gr.Expand(keys)
	gr.Expand(values)
	sees := g.inputs.sight.of(gr, c, p)
	return g.inputs.sight.attention.Graph(gr, of(q), keys, values, sees, attend.Scale{Factor: c.Scale, SoftCap: c.SoftCap})
}

// output makes y the result that a later graph reads: computed where that one
// finds it, or copied there if it cannot be placed.
func (g *graphs) output(gr *ggml.Graph, y, to *ggml.Tensor, first int) {
	home, at := g.inputs.homes[to], int64(first)*to.Nb(1)
	if y.Fresh() && at%home.Type().Alignment() == 0 {
		home.Place(y, at)
		gr.Expand(y)
		return
	}
	gr.Expand(gr.Cpy(y, gr.View2D(to, y.Ne(0), y.Ne(1), to.Nb(1), int64(first)*to.Nb(1))))
}

// cut ends a part of the graph.
func (lg *layerGraph) cut(tree int) {
	lg.parts = append(lg.parts, graphPart{tree: tree, end: lg.graph.Nodes()})
}

// split makes the parts that are computed: the graph itself where one tree
// attends, and else one for each tree and for what stands between.
func (lg *layerGraph) split() {
	if len(lg.shape.parts) == 1 && !lg.shape.host {
		lg.parts = []graphPart{{graph: lg.graph, tree: lg.shape.parts[0].tree}}
		return
	}
	start := 0
	lg.parts = slices.DeleteFunc(lg.parts, func(p graphPart) bool {
		empty := p.end == start
		start = p.end
		return empty && p.tree != atHost
	})
	start = 0
	for i := range lg.parts {
		p := &lg.parts[i]
		if p.tree == atHost {
			continue
		}
		p.graph = lg.graph.Part(start, p.end)
		start = p.end
	}
}

// embedding returns the graph that looks a chunk's tokens up.
func (g *graphs) embedding(step *kv.Step, chunk int) (*ggml.Graph, error) {
	c, at := step.Chunks()[chunk], g.inputs.places[chunk]
	return g.embedTokens(c.First, c.N, at.tokens)
}

// embedTokens returns the graph that looks n tokens up, the first of them at a
// place in inputs.ids.
func (g *graphs) embedTokens(first, n, at int) (*ggml.Graph, error) {
	return g.keep(&g.embeds, [3]int{first, n, at}, func(gr *ggml.Graph) {
		ids := gr.View1D(g.inputs.ids, int64(n), int64(at)*4)
		g.output(gr, g.model.Embed(gr, ids), g.inputs.x[0], first)
	})
}

// logits returns the graph that scores n of the wanted tokens.
func (g *graphs) logits(first, n int) (*ggml.Graph, error) {
	return g.keep(&g.heads, [3]int{first, n}, func(gr *ggml.Graph) {
		x := g.inputs.x[len(g.layers)%2]
		rows := gr.View1D(g.inputs.rows, int64(n), int64(first)*4)
		g.output(gr, g.model.Logits(gr, gr.GetRows(x, rows)), g.inputs.logits, 0) // [vocab, n]
	})
}

// keep returns a graph of a shape, built unless it is among those kept.
func (g *graphs) keep(kept *[]*graph, shape [3]int, build func(*ggml.Graph)) (*ggml.Graph, error) {
	for _, k := range *kept {
		if k.shape == shape {
			return k.Graph, nil
		}
	}
	gr := g.backend.NewGraph(32)
	build(gr)
	if err := g.allocate(gr); err != nil {
		return nil, err
	}
	if len(*kept) == graphsKept {
		(*kept)[0].Close()
		*kept = slices.Delete(*kept, 0, 1)
	}
	*kept = append(*kept, &graph{gr, shape})
	return gr, nil
}

// allocate gives a graph memory. If that moved the scratch, all others are
// dropped.
func (g *graphs) allocate(gr *ggml.Graph) error {
	moved, err := g.scratch.Alloc(gr)
	if moved {
		g.drop()
	}
	if err != nil {
		gr.Close()
	}
	return err
}

func (g *graphs) drop() {
	for l := range g.layers {
		for _, lg := range g.layers[l] {
			lg.graph.Close()
		}
		g.layers[l] = g.layers[l][:0]
	}
	for _, kept := range []*[]*graph{&g.embeds, &g.heads} {
		for _, k := range *kept {
			k.Close()
		}
		*kept = (*kept)[:0]
	}
}

func (g *graphs) close() {
	g.drop()
	g.scratch.Close()
}
