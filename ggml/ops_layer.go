package ggml

import "fmt"

// RMSNorm returns x with each row divided by its root mean square; eps is added to the mean square.
// x is F32.
func (g *Graph) RMSNorm(x *Tensor, eps float32) *Tensor {
	const op = "RMSNorm"
	present(op, x)
	check(x.typ == F32 && x.contiguousRows(), op, "f32 rows without gaps", x)
	check(eps >= 0, op, fmt.Sprintf("eps not negative, and not %g,", eps), x)
	return c.RMSNorm(g.next(op), x, eps)
}

// SiLU returns x * sigmoid(x). x is F32.
func (g *Graph) SiLU(x *Tensor) *Tensor {
	checkUnary("SiLU", x)
	return c.SiLU(g.next("SiLU"), x)
}

// GELU returns the Gaussian error linear unit of x in its tanh approximation. x is F32. The CPU
// computes it in half precision.
func (g *Graph) GELU(x *Tensor) *Tensor {
	checkUnary("GELU", x)
	return c.GELU(g.next("GELU"), x)
}

// SquaredReLU returns the square of x where it is positive, and 0 elsewhere (So et al. 2021,
// arXiv:2109.08668). x is F32.
func (g *Graph) SquaredReLU(x *Tensor) *Tensor {
	checkUnary("SquaredReLU", x)
	return c.Sqr(g.next("SquaredReLU"), c.ReLU(g.next("SquaredReLU"), x))
}

// Tanh returns the hyperbolic tangent of x. x is F32.
func (g *Graph) Tanh(x *Tensor) *Tensor {
	checkUnary("Tanh", x)
	return c.Tanh(g.next("Tanh"), x)
}

// Log returns the natural logarithm of x. x is F32.
func (g *Graph) Log(x *Tensor) *Tensor {
	checkUnary("Log", x)
	return c.Log(g.next("Log"), x)
}

// Floor returns the largest whole numbers that are not above x. x is F32.
func (g *Graph) Floor(x *Tensor) *Tensor {
	checkUnary("Floor", x)
	return c.Floor(g.next("Floor"), x)
}

func checkUnary(op string, x *Tensor) {
	present(op, x)
	// Some devices need more than rows without gaps.
	check(x.typ == F32 && x.Contiguous(), op, "contiguous f32", x)
}

// SwiGLU returns SiLU(gate) * up. Both are F32.
func (g *Graph) SwiGLU(gate, up *Tensor) *Tensor {
	checkGated("SwiGLU", gate, up)
	return c.SwiGLU(g.next("SwiGLU"), gate, up)
}

// SwiGLUOAI returns the gated unit of gpt-oss: g·sigmoid(alpha·g)·(u + 1), where g is gate but at
// most limit, and u is up within -limit and limit. Both are F32. (OpenAI, 2025: gpt-oss-120b and
// gpt-oss-20b model card.)
func (g *Graph) SwiGLUOAI(gate, up *Tensor, alpha, limit float32) *Tensor {
	const op = "SwiGLUOAI"
	checkGated(op, gate, up)
	check(limit >= 0, op, fmt.Sprintf("a limit that is not negative, and not %g,", limit), gate, up)
	return c.SwiGLUOAI(g.next(op), gate, up, alpha, limit)
}

// GeGLU returns GELU(gate) * up. Both are F32.
func (g *Graph) GeGLU(gate, up *Tensor) *Tensor {
	checkGated("GeGLU", gate, up)
	return c.GeGLU(g.next("GeGLU"), gate, up)
}

func checkGated(op string, gate, up *Tensor) {
	present(op, gate, up)
	check(gate.typ == F32 && up.typ == F32, op, "f32 operands", gate, up)
	check(gate.ne == up.ne, op, "equal shapes", gate, up)
	check(gate.contiguousAbove(1) && up.contiguousAbove(1), op, "rows without gaps, evenly apart", gate, up)
}

// RoPE are the parameters with which [Graph.RoPE] rotates pairs of elements.
type RoPE struct {
	Dims        int     // how many elements of each head are rotated, from the first on; even
	Mode        int     // ModeNormal or ModeNeoX: which elements are pairs
	OrigContext int     // context the model was trained with; used if Ext is not 0
	Base        float32 // pair i is rotated by Base^(-2i/Dims) per position, so the first one by 1
	Scale       float32 // positions are multiplied by it; 1 for none
	Ext         float32 // share of YaRN's extrapolation; 0 for none
	Attn        float32 // results are multiplied by it; 1 for none
	BetaFast    float32 // YaRN's bounds, in turns over OrigContext
	BetaSlow    float32
}

// The modes of RoPE, numbered as in ggml.
const (
	ModeNormal = 0 // neighbours are pairs: LLaMA
	ModeNeoX   = 2 // elements half of Dims apart are pairs: GPT-NeoX
)

// RoPE returns x [headDim, heads, tokens], F32 or F16, with position encoded by rotation (Su et al.
// 2021, arXiv:2104.09864; YaRN: Peng et al. 2023, arXiv:2309.00071). pos is I32 [tokens]. factors
// divides the angle of each pair, F32 [Dims/2]; it may be nil.
func (g *Graph) RoPE(x, pos, factors *Tensor, r RoPE) *Tensor {
	present("RoPE", x, pos)
	const op = "RoPE"
	check(x.typ == F32 || x.typ == F16, op, "f32 or f16", x, pos, factors)
	check(x.contiguousRows(), op, "rows without gaps", x, pos, factors)
	check(pos.typ == I32 && pos.ne == [4]int64{x.ne[2], 1, 1, 1}, op, "one i32 position for each token", x, pos, factors)
	check(r.Dims > 0 && r.Dims%2 == 0 && int64(r.Dims) <= x.ne[0], op,
		fmt.Sprintf("an even number of dimensions of each head, not %d,", r.Dims), x, pos, factors)
	check(r.Mode == ModeNormal || r.Mode == ModeNeoX, op, fmt.Sprintf("mode 0 or 2, not %d,", r.Mode), x, pos, factors)
	if factors != nil {
		check(factors.typ == F32 && factors.ne[0] >= int64(r.Dims/2) && factors.Contiguous(), op,
			fmt.Sprintf("%d f32 factors", r.Dims/2), x, pos, factors)
	}
	return c.RoPE(g.next(op), x, pos, factors, int32(r.Dims), int32(r.Mode), int32(r.OrigContext),
		r.Base, r.Scale, r.Ext, r.Attn, r.BetaFast, r.BetaSlow)
}

// FlashAttn returns attention of q [headDim, rows, heads] over k and v [headDim, cells, kvHeads],
// whose head dimensions may differ, as [headDim of v, heads, rows] in F32: softmax(scale * k q +
// mask) v. Each KV head serves heads/kvHeads query heads. mask is F16 [cells, rows], contiguous,
// and -Inf for cells that a row does not see; nil is no mask. softcap > 0 bounds the scores to
// softcap * tanh(score/softcap) before the mask is added.
//
// Masked cells must hold finite numbers: some kernels multiply them by zero. Sums are kept in
// float32 where the device can.
func (g *Graph) FlashAttn(q, k, v, mask *Tensor, scale, softcap float32) *Tensor {
	present("FlashAttn", q, k, v)
	const op = "FlashAttn"
	check(q.typ == F32, op, "f32 queries", q, k, v, mask)
	check(attended(k.typ) && attended(v.typ), op, "keys and values of f32, f16, bf16, q8_0, q4_0, q4_1, q5_0 or q5_1", q, k, v, mask)
	check(q.ne[0] == k.ne[0], op, "queries and keys of one head dimension", q, k, v, mask)
	check(k.ne[1] == v.ne[1] && k.ne[2] == v.ne[2] && k.ne[3] == v.ne[3], op, "equally many keys and values", q, k, v, mask)
	check(q.ne[2]%k.ne[2] == 0 && q.ne[3] == k.ne[3], op, "query heads that are a multiple of the KV heads", q, k, v, mask)
	check(q.contiguousRows() && k.contiguousRows() && v.contiguousRows(), op, "rows without gaps", q, k, v, mask)
	if mask != nil {
		check(mask.typ == F16 && mask.Contiguous(), op, "a contiguous f16 mask", q, k, v, mask)
		check(mask.ne[0] == k.ne[1] && mask.ne[1] >= q.ne[1] && q.ne[2]%mask.ne[2] == 0 && q.ne[3]%mask.ne[3] == 0, op,
			"a mask of one column for each key and one row for each query", q, k, v, mask)
	}
	t := c.FlashAttn(g.next(op), q, k, v, mask, scale, 0, softcap)
	c.FlashPrec(t, precF32)
	return t
}

// AddSinks gives each head of t, a result of FlashAttn or of SoftMax over scores [cells, rows,
// heads], one more score without a value, sinks [heads] in F32: it takes its share of the softmax,
// and nothing is added for it (Xiao et al. 2024, arXiv:2309.17453, where the score is 0; gpt-oss
// learns it). It is not scaled. AddSinks returns t, which must not have sinks yet.
func (g *Graph) AddSinks(t, sinks *Tensor) *Tensor {
	const op = "AddSinks"
	present(op, t, sinks)
	made, slot := c.OpDesc(t), 0
	switch made {
	case "FLASH_ATTN_EXT":
		slot = 4
	case "SOFT_MAX":
		slot = 2
	default:
		misuse(op, "want a result of FlashAttn or SoftMax, not of "+made, t, sinks)
	}
	check(t.src[slot] == nil, op, "a result without sinks", t, sinks)
	check(sinks.typ == F32 && sinks.ne == [4]int64{t.src[0].ne[2], 1, 1, 1} && sinks.Contiguous(), op,
		fmt.Sprintf("%d f32 sinks, one for each head", t.src[0].ne[2]), t, sinks)
	if slot == 4 {
		c.FlashSinks(t, sinks)
	} else {
		c.SoftSinks(t, sinks)
	}
	return t
}

// Supports reports whether the device computes an operation, the one of which t is the result.
// [Scratch.Alloc] refuses graphs with others.
func (g *Graph) Supports(t *Tensor) bool {
	present("Supports", t)
	return c.DevSupportsOp(g.backend.dev.ptr, t)
}

// attended reports whether FlashAttn takes keys and values of type t.
func attended(t Type) bool {
	switch t {
	case F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1:
		return true
	default:
		return false
	}
}

// SoftMax returns the softmax of the rows of scale * x + mask. x is F32 and contiguous; mask is F16
// or F32, contiguous, with x's columns and at least its rows, and repeats over dimensions 2 and 3;
// nil is none.
func (g *Graph) SoftMax(x, mask *Tensor, scale float32) *Tensor {
	present("SoftMax", x)
	const op = "SoftMax"
	check(x.typ == F32 && x.Contiguous(), op, "contiguous f32", x, mask)
	if mask != nil {
		check((mask.typ == F16 || mask.typ == F32) && mask.Contiguous(), op, "a contiguous f16 or f32 mask", x, mask)
		check(mask.ne[0] == x.ne[0] && mask.ne[1] >= x.ne[1] && x.ne[2]%mask.ne[2] == 0 && x.ne[3]%mask.ne[3] == 0, op,
			"a mask of one column for each of x's and one row for each", x, mask)
	}
	return c.SoftMax(g.next(op), x, mask, scale, 0)
}
