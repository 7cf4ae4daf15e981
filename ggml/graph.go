package ggml

import "fmt"

// Graph holds operations. Each operation is a method that returns its result; nothing is computed
// until [Backend.Compute]. A graph is built once per shape, allocated once by a [Scratch], and may
// be computed many times; its inputs are tensors of a [Context] whose contents change. It is used
// by one goroutine at a time, and its owner closes it.
//
// The memory of a result may be used again once the operations that need it have run. A result that
// is read after Compute must be the graph's last one, be copied to a placed tensor with
// [Graph.Cpy], or be marked with [Graph.Output].
type Graph struct {
	backend *Backend
	ctx     *Context
	ptr     uintptr
	parts   []*Graph
	detour  *Detour // nil: none

	keepsPlan  bool
	plan       uintptr // the kept one; 0: there is none
	plannedFor int     // threadpool.starts when it was made

	whole   *Graph // the graph that this one is a part of
	scratch *Scratch
	moves   int // of scratch, when the graph was allocated
}

// maxOperands bounds the tensors that an operation reads.
const maxOperands = 7

// NewGraph returns an empty graph for that many operations, views included.
func (b *Backend) NewGraph(nodes int) *Graph {
	if nodes < 1 {
		misuse("NewGraph", fmt.Sprintf("%d nodes: want at least 1", nodes))
	}
	// ggml counts the tensors that operations read against the same size.
	return b.newGraph(nodes, uintptr(nodes)*maxOperands+1)
}

func (b *Backend) newGraph(nodes int, size uintptr) *Graph {
	b.graphs.Add(1)
	ctx := newContext(nodes, uintptr(nodes)*c.TensorOverhead()+c.GraphOverhead(size, false))
	return &Graph{backend: b, ctx: ctx, ptr: c.NewGraph(ctx.ptr, size, false)}
}

// Backend returns the backend that the graph is for.
func (g *Graph) Backend() *Backend { return g.backend }

// Expand adds t and everything that it needs to the operations that Compute runs, after those that
// were added before.
func (g *Graph) Expand(t *Tensor) {
	g.checkOpen("Expand")
	if g.whole != nil {
		misuse("Expand", "a part cannot grow", t)
	}
	if g.scratch != nil {
		misuse("Expand", "the graph is allocated already", t)
	}
	c.BuildForwardExpand(g.ptr, t)
}

// Nodes returns how many operations Compute runs, views included.
func (g *Graph) Nodes() int {
	g.checkOpen("Nodes")
	return int(c.GraphNodes(g.ptr))
}

// Output prevents later operations from reusing the memory of t, or of what t is a view of.
func (g *Graph) Output(t *Tensor) {
	const flagOutput = 2 // GGML_TENSOR_FLAG_OUTPUT
	t.flags |= flagOutput
	if t.viewSrc != nil {
		t.viewSrc.flags |= flagOutput
	}
}

// Part returns a graph of the operations [from, to) of g. Computing the parts of a graph in order
// gives what computing the graph gives. A part uses g's memory, and closing g closes it.
//
// A device may fuse operations whose results it sees are not needed elsewhere; in a part it sees
// fewer operations and may be slower.
func (g *Graph) Part(from, to int) *Graph {
	n := g.Nodes()
	if from < 0 || from >= to || to > n {
		misuse("Part", fmt.Sprintf("operations [%d, %d) of %d", from, to, n))
	}
	whole := g
	if g.whole != nil {
		whole = g.whole
	}
	p := g.backend.newGraph(0, uintptr(to-from))
	p.whole = whole
	for i := from; i < to; i++ {
		c.GraphAddNode(p.ptr, c.GraphNode(g.ptr, int32(i)))
	}
	whole.parts = append(whole.parts, p)
	return p
}

// Close frees the graph, its tensors and its parts. Further calls do nothing.
func (g *Graph) Close() {
	for _, p := range g.parts {
		p.freePlan()
		p.ctx.Close()
	}
	g.freePlan()
	g.ctx.Close()
}

func (g *Graph) checkOpen(op string) {
	if g.ctx.ptr == 0 {
		misuse(op, "the graph is closed")
	}
}

// checkReady panics unless b can compute g.
func (g *Graph) checkReady(b *Backend) {
	switch {
	case b.measures:
		misuse("Compute", "the backend only measures")
	case b.ptr == 0:
		misuse("Compute", "the backend is closed")
	}
	g.checkOpen("Compute")
	whole := g
	if g.whole != nil {
		whole = g.whole
	}
	switch {
	case g.backend != b:
		misuse("Compute", fmt.Sprintf("the graph was built for another backend (%s)", g.backend.dev.name))
	case whole.scratch == nil:
		misuse("Compute", "the graph has no memory: allocate it with a Scratch")
	case whole.scratch.moves != whole.moves:
		misuse("Compute", "the graph's Scratch has moved or was closed: build the graph again")
	}
}
