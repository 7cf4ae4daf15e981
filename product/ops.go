package product

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// Activations are tokens' values, quantised to bytes: what the products of a graph read. They belong
// to the graph, and each may be read by up to 32 products.
type Activations struct {
	t          *ggml.Tensor // bytes: see layout.go
	in, tokens int64
	layout     layout
	readers    int16 // products so far
}

// In returns the number of a token's values.
func (a *Activations) In() int64 { return a.in }

// Tokens returns the number of tokens.
func (a *Activations) Tokens() int64 { return a.tokens }

// Quantise adds the quantising of x [in, tokens], f32. in is a multiple of 32, and further dimensions
// of x are tokens too.
//
// A token's values become bytes 32 at a time, in units of the largest one over 127. 32 values of
// which one is not finite become NaN.
func (p Products) Quantise(g *ggml.Graph, x *ggml.Tensor) *Activations {
	const name = "Quantise"
	p.check(name, x)
	return p.quantise(g, name, opQuantise, 0, x)
}

// NormQuantise adds Quantise of x's RMS norm times weight [in], f32.
func (p Products) NormQuantise(g *ggml.Graph, x, weight *ggml.Tensor, eps float32) *Activations {
	const name = "NormQuantise"
	p.check(name, x, weight)
	check(weight.Type() == ggml.F32 && weight.Contiguous() && weight.Shape() == [4]int64{x.Ne(0), 1, 1, 1},
		name, "one f32 weight for each value of a token", x, weight)
	return p.quantise(g, name, opNormQuantise, eps, x, weight)
}

func (p Products) quantise(g *ggml.Graph, name string, op operation, eps float32, operands ...*ggml.Tensor) *Activations {
	x := operands[0]
	in, tokens := x.Ne(0), x.Ne(1)*x.Ne(2)*x.Ne(3)
	check(x.Type() == ggml.F32 && x.Nb(0) == 4 && in%blockValues == 0, name,
		"f32 values, a multiple of 32 a token, without gaps between them", operands...)
	check(tokens > 0, name, "at least one token", operands...)
	check(tokens == x.Ne(1) || x.Contiguous(), name, "[in, tokens], or no gaps between tokens,", operands...)
	a := &Activations{in: in, tokens: tokens}
	// There is a frame for each thread that the backend has, or had.
	threads := g.MostThreads()
	a.layout = activationsOf(in, tokens, panelScratch(in, tokens), threads)
	pa := params{tokens: int32(tokens), in: int32(in), eps: eps}
	a.t = p.add(g, op, [4]int64{a.layout.size / 4, 1, 1, 1}, pa, a.layout, operands...)
	return a
}

// Product adds the product of packed weights w [in, out] and activations a [in, tokens]. residual is
// added to the result, if it is not nil: [out, tokens], or [out] for every token, f32.
//
//	result [out, tokens] f32
//
// A result is the same bits whatever the other tokens are, and the number of threads. Where w, or a
// token's activations, hold NaN, so does the result.
func (p Products) Product(g *ggml.Graph, w *ggml.Tensor, a *Activations, residual *ggml.Tensor) *ggml.Tensor {
	const name = "Product"
	operands := []*ggml.Tensor{w, a.t}
	if residual != nil {
		operands = append(operands, residual)
	}
	p.check(name, operands...)
	in, out := w.Ne(0), w.Ne(1)
	check(p.Takes(w.Type(), in, out) && w.Ne(2) == 1 && w.Ne(3) == 1 && w.Contiguous(), name, "weights that Takes reports", operands...)
	check(in == a.in, name, fmt.Sprintf("as many values as the activations' %d", a.in), operands...)
	if r := residual; r != nil {
		check(r.Type() == ggml.F32 && r.Nb(0) == 4 && r.Ne(0) == out && (r.Ne(1) == a.tokens || r.Ne(1) == 1) && r.Ne(2) == 1 && r.Ne(3) == 1,
			name, fmt.Sprintf("a residual [%d, %d] or [%d], f32,", out, a.tokens, out), operands...)
	}
	pa := params{tokens: int32(a.tokens), in: int32(in), counter: a.counter(name)}
	return p.add(g, opProduct, [4]int64{out, a.tokens, 1, 1}, pa, a.layout, operands...)
}

// GateUp adds what a gated linear unit makes of the gate's and up's products with a, quantised as by
// Quantise. The halves are so many rows, a multiple of 32, of two tensors or of one, and both or none have
// a bias.
func (p Products) GateUp(g *ggml.Graph, glu GLU, gate, up Half, rows int64, a *Activations) *Activations {
	const name = "GateUp"
	operands := gate.operands(up, a.t)
	p.check(name, operands...)
	check(glu >= 0 && glu < glus, name, "a gated linear unit", operands...)
	for _, h := range []Half{gate, up} {
		w := h.Weight
		check(p.Takes(w.Type(), w.Ne(0), w.Ne(1)) && w.Ne(2) == 1 && w.Ne(3) == 1 && w.Contiguous(),
			name, "weights that Takes reports", operands...)
		check(w.Ne(0) == a.in, name, fmt.Sprintf("as many values as the activations' %d", a.in), operands...)
		h.checkRows(name, rows, 1, operands)
	}
	threads := g.MostThreads()
	out := &Activations{in: rows, tokens: a.tokens}
	out.layout = activationsOf(rows, a.tokens, max(panelScratch(rows, a.tokens), gateUpScratch(a.in, a.tokens)), threads)
	pa := params{
		tokens: int32(a.tokens), in: int32(a.in), counter: a.counter(name),
		glu: glu, gateRow: int32(gate.Row), upRow: int32(up.Row), rows: int32(rows),
	}
	out.t = p.add(g, opGateUp, [4]int64{out.layout.size / 4, 1, 1, 1}, pa, out.layout, operands...)
	return out
}

// add adds an operation whose frames lie where l says.
func (p Products) add(g *ggml.Graph, op operation, ne [4]int64, pa params, l layout, operands ...*ggml.Tensor) *ggml.Tensor {
	pa.frames, pa.frameSize, pa.threads = int32(l.frames/64), int32(l.frameSize/64), int32(l.threads)
	return g.Custom(ggml.F32, ne, p.address(op), *(*ggml.CustomParams)(unsafe.Pointer(&pa)), operands...)
}

// counter returns the counter of the next product of the activations.
func (a *Activations) counter(name string) int16 {
	check(a.readers < counters, name, fmt.Sprintf("at most %d products of the same activations", counters), a.t)
	a.readers++
	return a.readers - 1
}

// check panics if there are no kernels, or an operand is missing or too large for the parameters.
func (p Products) check(name string, operands ...*ggml.Tensor) {
	for _, t := range operands {
		check(t != nil, name, "an operand in place of nil", operands...)
		for i := range 4 {
			check(t.Ne(i) <= math.MaxInt32, name, "dimensions of at most 2^31 elements", operands...)
		}
		check(t.Elements() < 1<<35, name, "at most 2^35 elements", operands...) // so that offsets fit params
	}
	check(p.Any(), name, "a device with kernels", operands...)
}

// check panics with the operands of an operation if they do not fit.
func check(ok bool, op, want string, operands ...*ggml.Tensor) {
	if ok {
		return
	}
	e := &ggml.ShapeError{Op: "product." + op, Reason: "want " + want}
	for _, t := range operands {
		e.Operands = append(e.Operands, t.String())
	}
	panic(e)
}
