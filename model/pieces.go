package model

import "github.com/seed4d217819/ebb/ggml"

// RMSNorm divides by the root mean square and multiplies by a learned weight (Zhang and Sennrich,
// 2019).
type RMSNorm struct {
	Weight *ggml.Tensor // [dim]
	Eps    float32
}

// Forward normalises the innermost dimension of x.
func (n RMSNorm) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return g.Mul(g.RMSNorm(x, n.Eps), n.Weight)
}

// SoftCap bounds numbers to ±most and leaves small ones nearly as they are (Bello et al., 2016; Gemma
// Team, 2024): most·tanh(x/most). 0: no bound.
func SoftCap(g *ggml.Graph, x *ggml.Tensor, most float32) *ggml.Tensor {
	if most == 0 {
		return x
	}
	return g.Scale(g.Tanh(g.Scale(x, 1/most)), most)
}

// Scaled returns x times a factor.
func Scaled(g *ggml.Graph, x *ggml.Tensor, factor float32) *ggml.Tensor {
	if factor == 1 {
		return x
	}
	return g.Scale(x, factor)
}
