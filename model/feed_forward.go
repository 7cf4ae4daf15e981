package model

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// FeedForward maps each token's vector by itself.
type FeedForward interface {
	// Forward maps x [hidden, tokens] to the same shape.
	Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor
}

// AddNormed returns x plus what f makes of its norm, x [hidden, tokens]: the second half of a layer
// whose norms stand in front (Xiong et al., 2020).
func AddNormed(g *ggml.Graph, f FeedForward, norm RMSNorm, x *ggml.Tensor) *ggml.Tensor {
	switch f := f.(type) {
	case SwiGLU:
		return f.forward(g, f.input(norm, x), x)
	case GeGLU:
		return f.forward(g, f.input(norm, x), x)
	}
	return g.Add(f.Forward(g, norm.Forward(g, x)), x)
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
	return f.forward(g, &input{x: x}, nil)
}

// ForwardNormed is Forward of x's norm.
func (f SwiGLU) ForwardNormed(g *ggml.Graph, norm RMSNorm, x *ggml.Tensor) *ggml.Tensor {
	return f.forward(g, f.input(norm, x), nil)
}

// input returns the norm of x as gate and up read it.
func (f SwiGLU) input(norm RMSNorm, x *ggml.Tensor) *input { return f.GateUp.input(norm, x) }

// forward adds a residual to the result, nil for none.
func (f SwiGLU) forward(g *ggml.Graph, in *input, residual *ggml.Tensor) *ggml.Tensor {
	return f.gated(g, SiLU, in, residual)
}

// gated is forward with any gated linear unit. Where all matrices are packed, gate and up are one
// operation with it, whose result is what the down projection reads.
func (f SwiGLU) gated(g *ggml.Graph, glu product.GLU, in *input, residual *ggml.Tensor) *ggml.Tensor {
	if f.fuses() {
		half := func(r result) product.Half {
			l := f.GateUp.products[r.product]
			h := product.Half{Weight: l.Weight, Row: int64(r.first)}
			if l.Bias != nil {
				h.Bias = g.View1D(l.Bias, int64(r.rows), int64(r.first)*l.Bias.Nb(0))
			}
			return h
		}
		p, gate, up := *f.Down.products, f.GateUp.results[0], f.GateUp.results[1]
		y := p.GateUp(g, glu, half(gate), half(up), int64(gate.rows), in.quantise(g, p))
		return f.Down.forward(g, &input{quantised: y}, residual)
	}
	gateUp := f.GateUp.forward(g, in)
	return f.Down.forward(g, &input{x: applyGLU(g, glu, gateUp[0], gateUp[1])}, residual)
}

// fuses reports whether gate and up can be one operation. Both or none of them have biases then.
func (f SwiGLU) fuses() bool {
	biases := 0
	for _, r := range f.GateUp.results {
		l := f.GateUp.products[r.product]
		if !l.packed() || r.first%product.Rows != 0 || r.rows%product.Rows != 0 {
			return false
		}
		if l.Bias != nil {
			biases++
		}
	}
	return f.Down.packed() && biases != 1
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
	return f.forward(g, &input{x: x}, nil)
}

// ForwardNormed is Forward of x's norm.
func (f GeGLU) ForwardNormed(g *ggml.Graph, norm RMSNorm, x *ggml.Tensor) *ggml.Tensor {
	return f.forward(g, f.input(norm, x), nil)
}

func (f GeGLU) input(norm RMSNorm, x *ggml.Tensor) *input { return f.GateUp.input(norm, x) }

func (f GeGLU) forward(g *ggml.Graph, in *input, residual *ggml.Tensor) *ggml.Tensor {
	return SwiGLU(f).gated(g, GELU, in, residual)
}
