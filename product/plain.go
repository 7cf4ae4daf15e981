package product

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
)

// plainTypes are the types of weights that are numbers.
var plainTypes = []ggml.Type{ggml.F32, ggml.F16, ggml.BF16}

// plainLanes is how many sums a result of Plain is made of.
const plainLanes = 16

// TakesPlain reports whether there are kernels for rows of in numbers of a type.
func (p Products) TakesPlain(t ggml.Type, in int64) bool {
	return p.Any() && slices.Contains(plainTypes, t) && in > 0 && in%plainLanes == 0
}

// Plain adds the product of weights w [in, out] as they are in a file, of f32, f16 or bf16, and x [in,
// tokens], f32. Where x has further dimensions, they are tokens too, and it has no gaps.
//
//	result [out, …] f32, of x's further dimensions
//
// A result is the same bits whatever the other tokens are, the number of threads, and the instruction
// set: it is the sum of 16 numbers, number j the sum over values 16i+j in their order, by fused
// multiply-add in f32. Those that are 8 apart are added first, then 4, 2 and 1. Products of ggml's
// differ between one token and several.
func (p Products) Plain(g *ggml.Graph, w, x *ggml.Tensor) *ggml.Tensor {
	const name = "Plain"
	p.check(name, w, x)
	check(p.TakesPlain(w.Type(), w.Ne(0)) && w.Ne(2) == 1 && w.Ne(3) == 1 && w.Contiguous(), name, "weights that TakesPlain reports", w, x)
	check(x.Type() == ggml.F32 && x.Nb(0) == 4 && x.Ne(0) == w.Ne(0), name, "f32 activations [in, tokens], without gaps between values", w, x)
	check(x.Ne(2) == 1 && x.Ne(3) == 1 || x.Contiguous(), name, "[in, tokens], or no gaps between tokens,", w, x)
	return g.Custom(ggml.F32, [4]int64{w.Ne(1), x.Ne(1), x.Ne(2), x.Ne(3)}, plainOp(p.set), ggml.CustomParams{}, w, x)
}
