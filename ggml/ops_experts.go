package ggml

import (
	"fmt"
	"math"
)

// The operations below are those of mixtures of experts: matrices of which each token uses some.

// MulMatID returns the products of x with those matrices of w that ids lists for each token: w [in,
// out, matrices], x [in, used, tokens] or, where all of a token's matrices multiply the same row,
// [in, 1, tokens], and ids I32 [used, tokens] give [out, used, tokens] in F32. x is F32.
//
// An id outside the matrices aborts the process on the CPU and is undefined on other devices; ids
// of [Graph.TopK] are inside.
func (g *Graph) MulMatID(w, x, ids *Tensor) *Tensor {
	const op = "MulMatID"
	present(op, w, x, ids)
	check(w.typ.float() || w.typ.Quantized(), op, "a weight of numbers with a fraction", w, x, ids)
	check(x.typ == F32 && ids.typ == I32, op, "f32 activations and i32 ids", w, x, ids)
	check(w.ne[3] == 1 && x.ne[3] == 1 && ids.ne[2] == 1 && ids.ne[3] == 1, op, "three dimensions at most, and two of ids", w, x, ids)
	check(w.ne[0] == x.ne[0], op, "equal row lengths", w, x, ids)
	check(x.ne[2] == ids.ne[1] && (x.ne[1] == 1 || x.ne[1] == ids.ne[0]), op, "one list of ids for each token, and a row for each id or one for all", w, x, ids)
	check(w.Contiguous() && x.contiguousRows() && ids.contiguousRows(), op, "weights without gaps, and rows without gaps", w, x, ids)
	return c.MulMatID(g.next(op), w, x, ids)
}

// AddID returns x with the rows of b added that ids lists for each token: x [n, used, tokens], b [n,
// rows] and ids I32 [used, tokens] give the shape of x. x and b are F32.
//
// An id outside the rows aborts the process on the CPU and is undefined on other devices; ids of
// [Graph.TopK] are inside.
func (g *Graph) AddID(x, b, ids *Tensor) *Tensor {
	const op = "AddID"
	present(op, x, b, ids)
	check(x.typ == F32 && b.typ == F32 && ids.typ == I32, op, "f32 operands and i32 ids", x, b, ids)
	check(x.ne[3] == 1 && b.ne[2] == 1 && b.ne[3] == 1 && ids.ne[2] == 1 && ids.ne[3] == 1, op, "three dimensions at most, and two of rows and ids", x, b, ids)
	check(x.ne[0] == b.ne[0], op, "equal row lengths", x, b, ids)
	check(x.ne[1] == ids.ne[0] && x.ne[2] == ids.ne[1], op, "one id for each row", x, b, ids)
	check(x.contiguousRows() && b.contiguousRows() && ids.contiguousRows(), op, "rows without gaps", x, b, ids)
	return c.AddID(g.next(op), x, b, ids)
}

// TopK returns the places of the k largest numbers of each row of x [n, rows], the largest first, as
// I32 [k, rows]. x is F32. The rows of the result have gaps between them.
func (g *Graph) TopK(x *Tensor, k int) *Tensor {
	const op = "TopK"
	present(op, x)
	check(x.typ == F32 && x.Contiguous() && x.ne[2] == 1 && x.ne[3] == 1, op, "contiguous f32 in two dimensions", x)
	check(k >= 1 && int64(k) <= x.ne[0], op, fmt.Sprintf("from 1 number to as many as a row has, not %d,", k), x)
	if g.backend.dev.typ == CPU {
		// The CPU sorts with std::sort, whose behaviour is undefined where something compares as no
		// number does. Clamping makes it the largest.
		x = g.Clamp(x, -math.MaxFloat32, math.MaxFloat32)
	}
	const descending = 1 // GGML_SORT_ORDER_DESC
	sorted := c.Argsort(g.next(op), x, descending)
	return g.View2D(sorted, int64(k), sorted.ne[1], int64(sorted.nb[1]), 0)
}

// SumRows returns the sums of the rows of x, which is F32: [1, ...].
func (g *Graph) SumRows(x *Tensor) *Tensor {
	const op = "SumRows"
	present(op, x)
	check(x.typ == F32 && x.contiguousRows(), op, "f32 rows without gaps", x)
	return c.SumRows(g.next(op), x)
}

// Clamp returns the numbers of x, which is F32, within the bounds.
func (g *Graph) Clamp(x *Tensor, least, most float32) *Tensor {
	const op = "Clamp"
	checkUnary(op, x)
	check(least <= most, op, fmt.Sprintf("bounds in order, not %g and %g,", least, most), x)
	return c.Clamp(g.next(op), x, least, most)
}

// Div returns a / b, element by element, in F32; b is repeated to the shape of a.
func (g *Graph) Div(a, b *Tensor) *Tensor {
	checkElementwise("Div", a, b)
	return c.Div(g.next("Div"), a, b)
}

// Sigmoid returns 1 / (1 + exp(-x)). x is F32.
func (g *Graph) Sigmoid(x *Tensor) *Tensor {
	checkUnary("Sigmoid", x)
	return c.Sigmoid(g.next("Sigmoid"), x)
}
