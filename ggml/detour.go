package ggml

// Detour is a result in the middle of a graph that another backend computes, in whose memory the
// weights for it lie. Whoever computes the graph stops there: it computes the operations before,
// copies what the other backend needs to it, and the result back, and computes the rest.
type Detour struct {
	Backend *Backend  // that computes the result
	Sent    []*Tensor // what it needs of the graph's results; they keep their memory
	Result  *Tensor   // in the graph; it must be placed before the graph is allocated
	After   int       // how many operations of the graph come before

	// Build adds the operations to a graph of the other backend, with tensors like those sent, but
	// without gaps. It returns their result, which is like Result.
	Build func(g *Graph, received []*Tensor) *Tensor
}

// DetourTo returns a tensor like the F32 tensor result, which b computes by the operations that build
// adds to a graph of its own, from results of g. A graph makes one detour at most. See [Detour].
func (g *Graph) DetourTo(b *Backend, result *Tensor, build func(g *Graph, received []*Tensor) *Tensor, sent ...*Tensor) *Tensor {
	const op = "DetourTo"
	present(op, append([]*Tensor{result}, sent...)...)
	check(result.typ == F32, op, "a result in f32", result)
	check(g.detour == nil, op, "no other detour in the graph", result)
	for _, t := range sent {
		check(t.Contiguous() && t.ne[3] == 1 || t.contiguousRows() && t.ne[2] == 1 && t.ne[3] == 1, op, "no gaps in three dimensions, or rows without gaps in two", t)
		g.Output(t)
		g.Expand(t)
	}
	ne := result.ne
	y := c.NewTensor4D(g.next(op), F32, ne[0], ne[1], ne[2], ne[3])
	g.detour = &Detour{Backend: b, Sent: sent, Result: y, After: g.Nodes(), Build: build}
	return y
}

// Detour returns the graph's detour, nil if it makes none.
func (g *Graph) Detour() *Detour { return g.detour }
