package exec

import (
	"cmp"
	"slices"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// graphsKept is how many graphs are kept for a layer: those that were used last. There may be more where
// several trees are in a step, because a batch has a graph for each number of texts and each length of
// the pass beside them.
const (
	graphsKept        = 8
	graphsOfTreesKept = 16
)

// plannedTokens is up to how many tokens of a graph its plans are kept: in longer steps planning takes
// no time that matters, and ggml's products need more memory to work in. Where ggml attends, it needs
// much with one token already.
const plannedTokens = 4

// graphs builds the graphs of a model's layers and keeps them for steps of the same shape. All
// share one scratch, as one is computed at a time.
type graphs struct {
	backend *ggml.Backend
	model   model.Model
	config  model.Config
	inputs  *inputs
	sinks   sinks
	scratch *ggml.Scratch

	layers [][]*layerGraph // by layer, used last first
	parts  []kv.Part       // of the shape that was asked for last, and its groups
	groups []group
	embeds []*graph
	heads  []*graph
	states []*graph // hidden ones
}

// graph is a graph that needs no K/V, with the shape that it was built for.
type graph struct {
	*ggml.Graph
	shape [3]int
}

// layerGraph is the graph of one layer for chunks of one shape.
type layerGraph struct {
	graph  *ggml.Graph
	shape  layerShape
	stages []stage         // what is computed, in order
	uses   []rowUses       // by part, where the layer attends to each
	trees  *attend.Trees   // the attention to all trees in place; nil: there is none
	writes bool            // and their new rows are written
	moves  []stateUses     // by group, where it is recurrent
	sent   [3]*ggml.Tensor // q, k and v, where attention is computed on the host
	detour *ggml.Detour    // to the CPU, which computes the experts; nil: the device does
}

// stage is a part of a layer's graph that is computed at once, when the rows that it needs are
// there.
type stage struct {
	kind  stageKind
	tree  int         // whose rows attention needs: its ordinal in the step. Of all trees in place: 0
	graph *ggml.Graph // nil where the host attends or the CPU computes experts
	end   int         // the operation behind the last
}

// stageKind says what a stage computes.
type stageKind int

// The kinds of stages.
const (
	dense         stageKind = iota // projections and feed-forward, which need no rows
	attention                      // of one tree, or of all that are in place
	hostAttention                  // of all trees, by a graph of the host
	cpuExperts                     // by a graph of the CPU
)

// onDevice reports whether the layer's device computes the stage.
func (k stageKind) onDevice() bool { return k == dense || k == attention }

// layerShape is all that a layer's graph depends on. Where spans say what tokens see, parts have no
// Cells and Mask: the graph stays as it is when a sequence grows past a block. Where the graph does not
// attend, or to rows in place, there are no parts: it stays as it is whoever is in the step.
type layerShape struct {
	first, n      int       // tokens of the step
	input         int       // where their ids and positions are among the inputs
	hostAttention bool      // attention is computed on the host
	inPlace       bool      // the rows of all trees are in place, and the kernel attends to them at once
	parts         []kv.Part // with the layer's rows

	groups []group   // of a recurrent layer
	states kv.States // its states
}

func (s layerShape) equal(o layerShape) bool {
	return s.alike(o) && s.states.ID == o.states.ID && slices.Equal(s.parts, o.parts) && slices.Equal(s.groups, o.groups)
}

func newGraphs(b *ggml.Backend, m model.Model, in *inputs, s sinks) *graphs {
	c := m.Config()
	return &graphs{backend: b, model: m, config: c, inputs: in, sinks: s, scratch: b.NewScratch(), layers: make([][]*layerGraph, len(c.Layers))}
}

// layer returns the graph of a layer for a chunk.
func (g *graphs) layer(step *kv.Step, layer *kv.Layer, chunk int) (*layerGraph, error) {
	return g.find(layer.Index, g.shape(step, layer, chunk), g.build)
}

// shape returns what the graph of a layer depends on. Its parts are valid until the next call.
func (g *graphs) shape(step *kv.Step, layer *kv.Layer, chunk int) layerShape {
	c, l := step.Chunks()[chunk], g.config.Layers[layer.Index]
	s := layerShape{first: c.First, n: c.N, input: c.Parts[0].Input, hostAttention: layer.HostAttention() && !g.inputs.forHost}
	s.inPlace = !s.hostAttention && layer.InPlace() && g.inputs.visibilities.attendsInPlace(l)
	if attends(l) && !s.hostAttention && !s.inPlace {
		g.parts = layer.Parts(chunk, g.parts[:0])
		s.parts = g.parts
		for i := range s.parts {
			if g.inputs.visibilities.kernel(l) {
				s.parts[i].Cells, s.parts[i].Mask = 0, 0
			}
		}
	}
	if s.states = layer.States(); s.states.T != nil {
		g.groups = groupsOf(step.Recurrences(chunk), c.First, g.groups[:0])
		s.groups = g.groups
	}
	return s
}

// find returns the graph of a layer and a shape: one that is kept for it, or for the same shape with other
// rows or states, or else one that it builds.
func (g *graphs) find(layer int, shape layerShape, build func(int, layerShape) *layerGraph) (*layerGraph, error) {
	kept := g.layers[layer]
	at := slices.IndexFunc(kept, func(lg *layerGraph) bool { return lg.shape.equal(shape) })
	if at < 0 {
		at = slices.IndexFunc(kept, func(lg *layerGraph) bool { return lg.serves(shape) })
	}
	if at >= 0 {
		lg := kept[at]
		lg.use(shape)
		copy(kept[1:at+1], kept[:at])
		kept[0] = lg
		return lg, nil
	}
	shape.parts, shape.groups = slices.Clone(shape.parts), slices.Clone(shape.groups)
	lg := build(layer, shape)
	if err := g.allocate(lg.graph); err != nil {
		return nil, err
	}
	lg.split()
	lg.findUses()
	if shape.n <= plannedTokens && g.inputs.visibilities.kernel(g.config.Layers[layer]) {
		lg.keepPlans()
	}
	kept = g.layers[layer] // allocate may have dropped them
	most := graphsKept
	if len(shape.parts) > 1 || shape.inPlace {
		most = graphsOfTreesKept
	}
	if n := len(kept); n >= most {
		kept[n-1].graph.Close()
		kept = kept[:n-1]
	}
	g.layers[layer] = slices.Insert(kept, 0, lg)
	return lg, nil
}

// build makes a layer's graph. Attention stands in it tree by tree, so that the graph can be
// computed in stages as the trees' rows arrive.
func (g *graphs) build(layer int, shape layerShape) *layerGraph {
	nodes := 64 + 32*max(1, len(shape.parts))
	for _, c := range shape.groups {
		nodes += 48 + 16*c.keep
	}
	if used := g.config.Layers[layer].ExpertsUsed; used > 0 {
		nodes += 32 + 2*used
	}
	gr := g.backend.NewGraph(nodes)
	lg := &layerGraph{graph: gr, shape: shape}
	n, from, to := int64(shape.n), g.inputs.x[layer%2], g.inputs.x[(layer+1)%2]
	x := gr.View2D(from, g.inputs.hidden, n, from.Nb(1), int64(shape.first)*from.Nb(1))
	tokens := model.Tokens{
		IDs:       gr.View1D(g.inputs.ids, n, int64(shape.input)*4),
		Positions: gr.View1D(g.inputs.pos, n, int64(shape.input)*4),
	}
	if given := g.inputs.given; given != nil {
		tokens.Hidden = gr.View2D(given, given.Ne(0), n, given.Nb(1), int64(shape.first)*given.Nb(1))
	}
	y := g.model.Layer(gr, layer, x, tokens, func(q, k, v *ggml.Tensor) *ggml.Tensor {
		made := [...]*ggml.Tensor{q, k, v}
		for i, t := range made {
			if t == nil {
				continue
			}
			if shape.hostAttention && !t.Contiguous() {
				made[i] = gr.Cont(t)
			}
			gr.Expand(made[i])
		}
		lg.cut(dense, 0)
		if shape.hostAttention {
			return g.fromHost(gr, layer, lg, made)
		}
		all := g.attendAll(layer, lg, q, k, v, func(tree int) { lg.cut(attention, tree) })
		return gr.Reshape2D(all, all.Ne(0)*all.Ne(1), n) // [headDim × heads, tokens]
	}, func(inputs []*ggml.Tensor, mix model.Mix) *ggml.Tensor {
		return g.recur(layer, lg, inputs, mix)
	})
	if lg.detour = gr.Detour(); lg.detour != nil {
		g.inputs.buffers[g.inputs.experts].Place(lg.detour.Result, 0)
		end := lg.detour.After
		lg.stages = append(lg.stages, stage{kind: dense, end: end}, stage{kind: cpuExperts, end: end})
		slices.SortStableFunc(lg.stages, func(a, b stage) int { return cmp.Compare(a.end, b.end) })
	}
	g.output(gr, y, to, shape.first)
	lg.cut(dense, 0)
	return lg
}

// attendAll adds attention to all trees at once if their rows are in place, and else part by part. It calls
// done after each operation, with the tree.
func (g *graphs) attendAll(layer int, lg *layerGraph, q, k, v *ggml.Tensor, done func(tree int)) (all *ggml.Tensor) {
	gr := lg.graph
	if lg.shape.inPlace {
		all = g.attendInPlace(layer, lg, q, k, v)
		gr.Expand(all)
		if done != nil {
			done(0)
		}
		return all
	}
	for _, p := range lg.shape.parts {
		u := rowUses{from: gr.Nodes()}
		out := g.attend(gr, layer, p, p.First-lg.shape.first, q, k, v)
		gr.Expand(out)
		u.to = gr.Nodes()
		lg.uses = append(lg.uses, u)
		if done != nil {
			done(p.Tree)
		}
		if all == nil {
			all = out
		} else {
			all = gr.Concat(all, out, 2)
		}
	}
	return all // [valueDim, heads, tokens]
}

// attend writes the new rows of a part, unless the layer shares another's, and attends over all rows of
// its tree. first is the part's first token in the chunk.
func (g *graphs) attend(gr *ggml.Graph, layer int, p kv.Part, first int, q, k, v *ggml.Tensor) *ggml.Tensor {
	c, n := g.config.Layers[layer], int64(p.N)
	of := func(t *ggml.Tensor) *ggml.Tensor { // [dim, heads, tokens of the part]
		return gr.View3D(t, t.Ne(0), t.Ne(1), n, t.Nb(1), t.Nb(2), int64(first)*t.Nb(2))
	}
	keys, values := p.Rows.K, p.Rows.V // of another layer, which has written them, if k and v are nil
	if k != nil {
		cells := gr.View1D(g.inputs.visibilities.of(c).cells, n, int64(p.Input)*8)
		keys = gr.SetRows(keys, gr.Permute(of(k), 0, 2, 1, 3), cells)     // [headDim, cells, kvHeads]
		values = gr.SetRows(values, gr.Permute(of(v), 0, 2, 1, 3), cells) // [valueDim, cells, kvHeads]
		gr.Expand(keys)
		gr.Expand(values)
	}
	sees := g.inputs.visibilities.inputs(gr, c, p, first)
	return g.inputs.attention.Graph(gr, of(q), keys, values, sees, g.scores(layer))
}

// scores returns what a layer's softmax is over.
func (g *graphs) scores(layer int) attend.Scores {
	c := g.config.Layers[layer]
	return attend.Scores{Factor: c.Scale, SoftCap: c.SoftCap, Sinks: g.sinks.layers[layer]}
}

// output makes y the result that a later graph reads. It is computed in the place where that graph
// reads it, or copied there if it cannot lie there.
func (g *graphs) output(gr *ggml.Graph, y, to *ggml.Tensor, first int) {
	buffer, at := g.inputs.buffers[to], int64(first)*to.Nb(1)
	if y.Fresh() && at%buffer.Type().Alignment() == 0 {
		buffer.Place(y, at)
		gr.Expand(y)
		return
	}
	gr.Expand(gr.Cpy(y, gr.View2D(to, y.Ne(0), y.Ne(1), to.Nb(1), int64(first)*to.Nb(1))))
}

// cut ends a stage of the graph.
func (lg *layerGraph) cut(kind stageKind, tree int) {
	lg.stages = append(lg.stages, stage{kind: kind, tree: tree, end: lg.graph.Nodes()})
}

// split makes the graphs of the stages. If one tree attends, or all at once, a single stage has all operations that
// the device computes one directly after the other; otherwise each tree has a stage, and so have the
// operations between two trees.
func (lg *layerGraph) split() {
	start := 0
	lg.stages = slices.DeleteFunc(lg.stages, func(s stage) bool {
		empty := s.end == start
		start = s.end
		return empty && s.kind.onDevice()
	})
	if len(lg.shape.parts) <= 1 {
		lg.join()
	}
	if len(lg.stages) == 1 {
		lg.stages[0].graph = lg.graph
		return
	}
	start = 0
	for i := range lg.stages {
		s := &lg.stages[i]
		if s.kind.onDevice() {
			s.graph = lg.graph.Part(start, s.end)
			start = s.end
		}
	}
}

// join makes one stage of those that the device computes one directly after the other.
func (lg *layerGraph) join() {
	joined := lg.stages[:1]
	for _, s := range lg.stages[1:] {
		last := &joined[len(joined)-1]
		if !s.kind.onDevice() || !last.kind.onDevice() {
			joined = append(joined, s)
			continue
		}
		if last.end = s.end; s.kind == attention {
			last.kind, last.tree = s.kind, s.tree
		}
	}
	lg.stages = joined
}

// keepPlans has the device keep how it computes the stages.
func (lg *layerGraph) keepPlans() {
	for _, s := range lg.stages {
		if s.graph != nil {
			s.graph.KeepPlan()
		}
	}
}

// embedding returns the graph that looks a chunk's tokens up.
func (g *graphs) embedding(step *kv.Step, chunk int) (*ggml.Graph, error) {
	c := step.Chunks()[chunk]
	return g.embedTokens(c.First, c.N, c.Parts[0].Input)
}

// embedTokens returns the graph that looks n tokens up, the first of them at a place in inputs.ids.
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

// keep returns the graph of a shape. It builds the graph unless it is kept.
func (g *graphs) keep(kept *[]*graph, shape [3]int, build func(*ggml.Graph)) (*ggml.Graph, error) {
	for i, k := range *kept {
		if k.shape == shape {
			copy((*kept)[1:i+1], (*kept)[:i])
			(*kept)[0] = k
			return k.Graph, nil
		}
	}
	gr := g.backend.NewGraph(32)
	build(gr)
	if err := g.allocate(gr); err != nil {
		return nil, err
	}
	if n := len(*kept); n == graphsOfTreesKept {
		(*kept)[n-1].Close()
		*kept = (*kept)[:n-1]
	}
	*kept = slices.Insert(*kept, 0, &graph{gr, shape})
	return gr, nil
}

// allocate gives a graph memory. If that moves the scratch, it drops all other graphs.
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
	for _, kept := range []*[]*graph{&g.embeds, &g.heads, &g.states} {
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
