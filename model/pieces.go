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

// FeedForward maps each token's vector by itself.
type FeedForward interface {
	// Forward maps x [hidden, tokens] to the same shape.
	Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor
}

// SwiGLU is the gated feed-forward of Shazeer (2020): down(silu(gate(x))·up(x)).
type SwiGLU struct {
	GateUp Stack
	Down   Linear
}

// SwiGLU returns the matrices ffn_gate, ffn_up and ffn_down, whose names have suffix behind them
// where the feed-forward is one of several.
func (l *Loader) SwiGLU(suffix string, hidden, ff int) SwiGLU {
	return SwiGLU{
		GateUp: l.Stack(hidden, Matrix{"ffn_gate" + suffix, ff}, Matrix{"ffn_up" + suffix, ff}),
		Down:   l.Linear("ffn_down"+suffix, ff, hidden),
	}
}

// Forward maps x [hidden, tokens] to the same shape.
func (f SwiGLU) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	if y := f.packed(g, x); y != nil {
		return y
	}
	gateUp := f.GateUp.Forward(g, x)
	return f.Down.Forward(g, g.SwiGLU(gateUp[0], gateUp[1]))
}

// GeGLU is the gated feed-forward of Shazeer (2020): down(gelu(gate(x))·up(x)).
type GeGLU struct {
	GateUp Stack
	Down   Linear
}

// GeGLU returns the matrices ffn_gate, ffn_up and ffn_down.
func (l *Loader) GeGLU(hidden, ff int) GeGLU { return GeGLU(l.SwiGLU("", hidden, ff)) }

// Forward maps x [hidden, tokens] to the same shape.
func (f GeGLU) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	gateUp := f.GateUp.Forward(g, x)
	return f.Down.Forward(g, g.GeGLU(gateUp[0], gateUp[1]))
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
