package product

import (
	"fmt"
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// GLU is a gated linear unit (Shazeer 2020, arXiv:2002.05202): what a feed-forward network makes of a
// number g of the gate and one u of up.
type GLU int16

const (
	// SiLU is silu(g) · u, silu(x) being x / (1 + e^-x) (Elfwing et al. 2017, arXiv:1702.03118).
	SiLU GLU = iota
	// GELU is gelu(g) · u, gelu(x) being x/2 · (1 + tanh(√(2/π) · (x + 0.044715x³))) (Hendrycks and
	// Gimpel 2016, arXiv:1606.08415).
	GELU
	// ClampedSiLU is the unit of gpt-oss (OpenAI 2025): g / (1 + e^(-1.702g)) · (u + 1), with g at most 7
	// and u from -7 to 7.
	ClampedSiLU
	glus
)

// Half is the gate or up of a gated linear unit: rows of packed weights [in, …], or [in, …, experts].
type Half struct {
	Weight *ggml.Tensor
	Row    int64        // the first one, a multiple of 32
	Bias   *ggml.Tensor // [rows], or [rows, experts] with any stride, f32, which is added to the product; nil: nothing
}

// operands returns the tensors of a gated linear unit, of which others lie between weights and biases.
func (h Half) operands(up Half, between ...*ggml.Tensor) []*ggml.Tensor {
	all := append([]*ggml.Tensor{h.Weight, up.Weight}, between...)
	if h.Bias == nil && up.Bias == nil {
		return all
	}
	return append(all, h.Bias, up.Bias)
}

// checkRows panics if the half has not so many rows, or its bias is not one of each expert's rows.
func (h Half) checkRows(name string, rows, experts int64, operands []*ggml.Tensor) {
	check(rows > 0 && rows%Rows == 0 && h.Row >= 0 && h.Row%Rows == 0 && h.Row+rows <= h.Weight.Ne(1), name,
		fmt.Sprintf("%d rows from row %d on, both multiples of 32,", rows, h.Row), operands...)
	if b := h.Bias; b != nil {
		check(b.Type() == ggml.F32 && b.Nb(0) == 4 && b.Shape() == [4]int64{rows, experts, 1, 1},
			name, fmt.Sprintf("biases [%d, %d], f32,", rows, experts), operands...)
	}
}

// of returns what the unit makes of two numbers.
func (u GLU) of(gate, up float32) float32 {
	switch u {
	case GELU:
		return gelu(gate) * up
	case ClampedSiLU:
		return clampedSiLU(gate) * float32(clamp(up)+1)
	default:
		return silu(gate) * up
	}
}

// silu returns x / (1 + e^-x).
func silu(x float32) float32 {
	const slope = float32(-math.Log2E)
	return weighted(x, float32(slope*x))
}

// gelu returns x/2 · (1 + tanh(y)) as x / (1 + e^-2y).
func gelu(x float32) float32 {
	const (
		slope  = -2 * math.Log2E * math.Sqrt2 / math.SqrtPi
		linear = float32(slope)
		cubic  = float32(slope * 0.044715)
	)
	return weighted(x, float32(x*fma(cubic, float32(x*x), linear)))
}

// clampedSiLU returns x / (1 + e^(-1.702x)) of x, but at most 7.
func clampedSiLU(x float32) float32 {
	const slope = float32(-1.702 * math.Log2E)
	x = min(x, gluLimit)
	return weighted(x, float32(slope*x))
}

// gluLimit is the limit of ClampedSiLU's gate and up.
const gluLimit = 7

// clamp returns x, but from -7 to 7.
func clamp(x float32) float32 { return max(min(x, gluLimit), -gluLimit) }

// weighted returns x / (1 + 2^p). The power is no larger than 2^127, so that it stays finite.
func weighted(x, p float32) float32 { return x / (1 + exp2(p)) }
