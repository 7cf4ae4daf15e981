package ggml

import "fmt"

// precF32 is GGML_PREC_F32: sums are kept in float32.
const precF32 = 10

// check panics with the operands unless ok.
func check(ok bool, op, want string, operands ...*Tensor) {
	if !ok {
		misuse(op, "want "+want, operands...)
	}
}

// present panics if an operand is nil.
func present(op string, operands ...*Tensor) {
	for _, t := range operands {
		check(t != nil, op, "all operands", operands...)
	}
}

// next reserves room for the result of op and returns the C context.
func (g *Graph) next(op string) uintptr {
	g.checkOpen(op)
	if g.whole != nil {
		misuse(op, "a part cannot grow")
	}
	return g.ctx.take(op)
}

// GetRows returns the rows of a that ids, an I32 tensor, lists, as F32 (I32 if a is I32).
// Dimensions 1 and 2 of ids run over dimensions 2 and 3 of a. The caller must check ids before it
// sets them: an id outside the rows of a aborts the process on the CPU and is undefined on other
// devices. The same holds for SetRows.
func (g *Graph) GetRows(a, ids *Tensor) *Tensor {
	present("GetRows", a, ids)
	check(ids.typ == I32 && ids.ne[3] == 1, "GetRows", "ids i32 [n x y 1]", a, ids)
	check(a.ne[2] == ids.ne[1] && a.ne[3] == ids.ne[2], "GetRows", "a [.. .. x y] and ids [n x y 1]", a, ids)
	check(a.contiguousRows() && a.typ != I64, "GetRows", "rows without gaps, not of i64", a, ids)
	return c.GetRows(g.next("GetRows"), a, ids)
}

// SetRows writes the rows of src to those of dst that idx, an I64 or I32 tensor, lists, converted
// to dst's type, and returns a view of dst. The list is repeated over dimensions 2 and 3, which
// idx's dimensions 1 and 2 must divide. Rows may have gaps between them, but each row must be
// contiguous.
func (g *Graph) SetRows(dst, src, idx *Tensor) *Tensor {
	present("SetRows", dst, src, idx)
	const op = "SetRows"
	check(src.typ == F32 || src.typ == F16, op, "source rows of f32 or f16", dst, src, idx)
	check(dst.typ.written(), op, "destination rows of a type that operations write", dst, src, idx)
	check(idx.typ == I64 || idx.typ == I32, op, "indices i64 or i32", dst, src, idx)
	check(src.ne[0] == dst.ne[0] && src.ne[2] == dst.ne[2] && src.ne[3] == dst.ne[3], op,
		"source and destination equal but for dimension 1", dst, src, idx)
	check(src.ne[1] == idx.ne[0] && src.ne[2]%idx.ne[1] == 0 && src.ne[3]%idx.ne[2] == 0 && idx.ne[3] == 1, op,
		"one index for each source row", dst, src, idx)
	check(dst.contiguousRows() && src.contiguousRows(), op, "rows without gaps", dst, src, idx)
	return c.SetRows(g.next(op), dst, src, idx)
}

// SetRowsAt writes the rows of src, converted to a type, to addresses in host memory: an I64 tensor has
// [Tensor.Address] of a row's first byte for each of the rows, in dimensions 1 to 3 of src. It returns
// what [Graph.Expand] takes, which is nothing to read. Rows may have gaps between them, but each row must
// be contiguous. The caller must check addresses before it sets them: what lies there is written.
//
// It panics if the backend is not the CPU.
func (g *Graph) SetRowsAt(t Type, src, addresses *Tensor) *Tensor {
	present("SetRowsAt", src, addresses)
	const op = "SetRowsAt"
	if g.backend.dev.typ != CPU {
		misuse(op, g.backend.dev.name+" does not write where the program says", src, addresses)
	}
	check(src.typ == F32 || src.typ == F16, op, "source rows of f32 or f16", src, addresses)
	check(t.written() && src.ne[0]%t.BlockSize() == 0, op, "rows of a type that operations write", src, addresses)
	check(addresses.typ == I64 && addresses.ne == [4]int64{src.ne[1], src.ne[2], src.ne[3], 1}, op, "an address, i64, for each source row", src, addresses)
	check(src.contiguousRows(), op, "rows without gaps", src, addresses)
	// It is SetRows into a tensor that begins at address 0 and has a row at every byte. The operand that
	// stands for it is read by nobody, and has an address so that no memory is allocated for it.
	dst := c.NewTensor4D(g.next(op), t, src.ne[0], 1, src.ne[2], src.ne[3])
	dst.data = 1
	r := c.SetRows(g.next(op), dst, src, addresses)
	r.data, r.ne[1], r.nb[1], r.nb[2], r.nb[3] = 0, nowhere, 1, 0, 0
	return r
}

// MulMat returns the products of the rows of w with the rows of x: w [k, m], x [k, n] give [m, n]
// in F32. Dimensions 2 and 3 of w are repeated to those of x, which is F32.
//
// Only on the CPU may w have gaps between its matrices: some devices ignore them and give wrong
// numbers (use Cont there).
func (g *Graph) MulMat(w, x *Tensor) *Tensor {
	present("MulMat", w, x)
	const op = "MulMat"
	check(w.typ.float() || w.typ.Quantized(), op, "a weight of numbers with a fraction", w, x)
	check(x.typ == F32, op, "f32 activations", w, x)
	check(w.ne[0] == x.ne[0], op, "equal row lengths", w, x)
	check(x.ne[2]%w.ne[2] == 0 && x.ne[3]%w.ne[3] == 0, op, "activations that repeat the weight's dimensions 2 and 3", w, x)
	check(w.contiguousRows() && w.nb[0] <= w.nb[1] && x.contiguousRows(), op, "rows without gaps, not transposed", w, x)
	if g.backend.dev.typ != CPU {
		gap := w.ne[2] > 1 && w.nb[2] != uint64(w.ne[1])*w.nb[1] || w.ne[3] > 1 && w.nb[3] != uint64(w.ne[2])*w.nb[2]
		check(!gap, op, "no gap between the weight's matrices on "+g.backend.dev.name, w, x)
	}
	return c.MulMat(g.next(op), w, x)
}

// MulMatPrecF32 makes t, a result of MulMat, keep its sums in float32 where the device would use
// less, and returns it.
func (g *Graph) MulMatPrecF32(t *Tensor) *Tensor {
	present("MulMatPrecF32", t)
	check(c.OpDesc(t) == "MUL_MAT", "MulMatPrecF32", "a result of MulMat", t)
	c.MulMatPrec(t, precF32)
	return t
}

// Add returns a + b in F32; b is repeated to the shape of a.
func (g *Graph) Add(a, b *Tensor) *Tensor {
	checkElementwise("Add", a, b)
	return c.Add(g.next("Add"), a, b)
}

// Mul returns a * b, element by element, in F32; b is repeated to the shape of a.
func (g *Graph) Mul(a, b *Tensor) *Tensor {
	checkElementwise("Mul", a, b)
	return c.Mul(g.next("Mul"), a, b)
}

func checkElementwise(op string, a, b *Tensor) {
	present(op, a, b)
	check(a.typ == F32 && b.typ == F32, op, "f32 operands", a, b)
	for i := range 4 {
		check(a.ne[i]%b.ne[i] == 0, op, "a second operand that repeats to the first", a, b)
	}
	check(a.contiguousRows() && b.contiguousRows(), op, "rows without gaps", a, b)
}

// Scale returns a times f; a is F32 and contiguous.
func (g *Graph) Scale(a *Tensor, f float32) *Tensor {
	present("Scale", a)
	check(a.typ == F32 && a.Contiguous(), "Scale", "contiguous f32", a)
	return c.Scale(g.next("Scale"), a, f)
}

// ScaleBias returns a times f plus b; a is F32 and contiguous.
func (g *Graph) ScaleBias(a *Tensor, f, b float32) *Tensor {
	present("ScaleBias", a)
	check(a.typ == F32 && a.Contiguous(), "ScaleBias", "contiguous f32", a)
	return c.ScaleBias(g.next("ScaleBias"), a, f, b)
}

// Concat returns a followed by b in dimension dim, the only one in which they may differ.
func (g *Graph) Concat(a, b *Tensor, dim int) *Tensor {
	present("Concat", a, b)
	check(dim >= 0 && dim < 4, "Concat", fmt.Sprintf("a dimension from 0 to 3, not %d,", dim), a, b)
	check(a.typ == b.typ && (a.typ == F32 || a.typ == F16 || a.typ == BF16 || a.typ == I32), "Concat",
		"one type among f32, f16, bf16 and i32", a, b)
	for i := range 4 {
		check(i == dim || a.ne[i] == b.ne[i], "Concat", fmt.Sprintf("equal shapes but for dimension %d", dim), a, b)
	}
	return c.Concat(g.next("Concat"), a, b, int32(dim))
}

// Repeat returns a contiguous tensor of a larger shape, filled with a, F32, again and again in each
// dimension: each size is a multiple of a's.
func (g *Graph) Repeat(a *Tensor, ne [4]int64) *Tensor {
	const op = "Repeat"
	present(op, a)
	check(a.typ == F32 && a.contiguousRows(), op, "f32 rows without gaps", a)
	total := int64(1)
	for i, n := range ne {
		check(n >= 1 && n%a.ne[i] == 0 && n <= 1<<48/total, op, fmt.Sprintf("sizes that divide those of %d", ne), a)
		total *= n
	}
	return c.Repeat(g.next(op), a, ne[0], ne[1], ne[2], ne[3])
}

// Cont returns a contiguous copy of a, which is not quantized.
func (g *Graph) Cont(a *Tensor) *Tensor {
	present("Cont", a)
	check(!a.typ.Quantized() && a.typ != I64, "Cont", "a type that is not quantized, nor i64", a)
	return c.Cont(g.next("Cont"), a)
}

// Cast returns a contiguous copy of a in type t. Quantized types convert only from and to F32.
func (g *Graph) Cast(a *Tensor, t Type) *Tensor {
	present("Cast", a)
	check(convertible(a.typ, t), "Cast", "types that convert, not to "+t.String()+",", a)
	check(!t.Quantized() || a.ne[0]%t.BlockSize() == 0, "Cast", fmt.Sprintf("rows of a multiple of %d", t.BlockSize()), a)
	check(!a.typ.Quantized() && !t.Quantized() || a.contiguousRows(), "Cast", "rows without gaps", a)
	return c.Cast(g.next("Cast"), a, t)
}

// Cpy copies the elements of a to dst, in order, converted to its type, and returns a view of dst.
// Types convert as in Cast; quantized tensors must be contiguous.
func (g *Graph) Cpy(a, dst *Tensor) *Tensor {
	present("Cpy", a, dst)
	check(convertible(a.typ, dst.typ), "Cpy", "types that convert", a, dst)
	check(a.Elements() == dst.Elements(), "Cpy", "equally many elements", a, dst)
	check(!a.typ.Quantized() && !dst.typ.Quantized() || a.Contiguous() && dst.Contiguous(), "Cpy", "contiguous quantized tensors", a, dst)
	return c.Cpy(g.next("Cpy"), a, dst)
}

// convertible reports whether Cast and Cpy convert a to b.
func convertible(a, b Type) bool {
	switch {
	case a.Quantized():
		return b == F32
	case b.Quantized():
		return a == F32 && b.written()
	case a == I32:
		return b == I32 || b == F32
	default:
		return a.float() && b.float()
	}
}
