package model

import "github.com/seed4d217819/ebb/ggml"

// Temperature makes attention sharper where it sees more tokens (Nakanishi, 2025; Llama 4): queries
// are multiplied by 1 + Scale·ln(1 + ⌊position / Every⌋).
type Temperature struct {
	Scale float32 // 0: queries stay as they are
	Every int     // tokens
}

// Temperature returns what the file says: attention.temperature_scale, and the context that positions
// were trained with.
func (l *Loader) Temperature() Temperature {
	t := Temperature{
		Scale: l.FloatOr("attention.temperature_scale", 0),
		Every: l.IntOr("rope.scaling.original_context_length", l.IntOr("context_length", defaultContext)),
	}
	l.Check(t.Scale >= 0, "metadata %s is %v: want a number that is not negative", l.key("attention.temperature_scale"), t.Scale)
	return t
}

// Forward scales q [headDim, heads, tokens] by the positions of its tokens.
func (t Temperature) Forward(g *ggml.Graph, q, pos *ggml.Tensor) *ggml.Tensor {
	if t.Scale == 0 {
		return q
	}
	// Half a position keeps rounding from turning a whole quotient into the number below it.
	every := 1 / float32(t.Every)
	steps := g.Floor(g.ScaleBias(g.Cast(pos, ggml.F32), every, every/2)) // [tokens]
	factor := g.ScaleBias(g.Log(g.ScaleBias(steps, 1, 1)), t.Scale, 1)
	return g.Mul(q, g.Reshape3D(factor, 1, 1, q.Ne(2)))
}
