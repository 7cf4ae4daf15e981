package model

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// HybridAttention is Attention for models of which most layers are gated delta nets: those that
// attention.recurrent_layers marks, or all but each full_attention_interval-th (4 by default).
func (l *Loader) HybridAttention(hidden, layers int) []Layer {
	all, state := l.SomeAttention(hidden, layers), l.DeltaShape().State()
	for i, recurrent := range l.recurrentLayers(layers) {
		if recurrent {
			all[i] = Layer{State: state}
		} else {
			l.Check(all[i].KVHeads > 0, "layer %d is not recurrent and has 0 attention heads or KV heads: want at least 1", i)
		}
	}
	return all
}

// recurrentLayers returns which layers are recurrent.
func (l *Loader) recurrentLayers(layers int) []bool {
	const name = "attention.recurrent_layers"
	interval := l.IntOr("full_attention_interval", 4) // files may have both, and the marks count
	if v, _ := l.file.Value(l.key(name)); v.Kind() == gguf.KindArray {
		marks, ok := get(l, name, l.file.Bools)
		if ok && len(marks) == layers+l.drafting() {
			marks = marks[:layers]
		}
		if ok && len(marks) == layers {
			return marks
		}
		l.Check(!ok, "metadata %s has %d marks: want one for each of the %d layers", l.key(name), len(marks), layers)
		return make([]bool, layers)
	}
	marks := slices.Repeat([]bool{true}, layers)
	for i := range marks {
		marks[i] = (i+1)%max(interval, 1) != 0
	}
	return marks
}

// TextRotary is Rotary for models that also take images, whose positions have several coordinates
// (Wang et al., 2024): rope.dimension_sections says how many pairs turn by each. Those of a text are all
// the same, so that sections which cover all pairs change nothing.
func (l *Loader) TextRotary(mode, headDim int) Rotary {
	const name = "rope.dimension_sections"
	r := l.Rotary(mode, headDim)
	if sections, there := get(l, name, l.file.Ints); there {
		pairs := int64(0)
		for _, n := range sections {
			l.Check(n >= 0 && n <= int64(headDim), "metadata %s has a section of %d pairs, of %d dimensions", l.key(name), n, headDim)
			pairs += n
		}
		l.Check(pairs == int64(r.Dims/2), "metadata %s covers %d pairs, which is not supported: want the %d of all %d dimensions that turn", l.key(name), pairs, r.Dims/2, r.Dims)
	}
	return r
}

// GatedAttention is attention with norms of queries and keys, whose result is weighted by the sigmoid of
// a gate (Qiu et al., 2025).
type GatedAttention struct {
	shape     Layer
	projected Stack   // queries with their gates, keys and values
	QueryNorm RMSNorm // [headDim]
	KeyNorm   RMSNorm // [headDim]
	Rotary    Rotary
	Out       Linear // [headDim × heads, hidden]
}

// GatedAttention returns attn_q, whose rows are head by head those of a query and of its gate, attn_k,
// attn_v, attn_q_norm, attn_k_norm and attn_output.
func (l *Loader) GatedAttention(hidden int, a Layer, eps float32) GatedAttention {
	l.Check(a.ValueDim == a.KeyDim, "values of %d are weighted by gates of %d: want the same", a.ValueDim, a.KeyDim)
	return GatedAttention{
		shape:     a,
		projected: l.Stack(hidden, Matrix{"attn_q", 2 * a.KeyDim * a.Heads}, Matrix{"attn_k", a.KeyDim * a.KVHeads}, Matrix{"attn_v", a.ValueDim * a.KVHeads}),
		QueryNorm: l.RMSNorm("attn_q_norm", a.KeyDim, eps),
		KeyNorm:   l.RMSNorm("attn_k_norm", a.KeyDim, eps),
		Rotary:    l.TextRotary(ggml.ModeNeoX, a.KeyDim),
		Out:       l.Linear("attn_output", a.ValueDim*a.Heads, hidden),
	}
}

// Forward maps x [hidden, tokens] to the same shape.
func (a GatedAttention) Forward(g *ggml.Graph, x, positions *ggml.Tensor, attend Attend) *ggml.Tensor {
	all := a.projected.Forward(g, x)
	both, d := all[0], int64(a.shape.KeyDim) // [2 × headDim × heads, tokens]
	half := func(i int64) *ggml.Tensor {
		return g.View3D(both, d, int64(a.shape.Heads), both.Ne(1), 2*d*both.Nb(0), both.Nb(1), i*d*both.Nb(0))
	}
	q, k, v := half(0), ByHead(g, all[1], a.shape.KeyDim), ByHead(g, all[2], a.shape.ValueDim)
	q, k = a.QueryNorm.Forward(g, q), a.KeyNorm.Forward(g, k)
	q, k = a.Rotary.Forward(g, q, positions), a.Rotary.Forward(g, k, positions)
	gate := g.Sigmoid(g.Cont(half(1)))
	y := attend(q, k, v) // [headDim × heads, tokens]
	return a.Out.Forward(g, g.Mul(y, g.Reshape2D(gate, y.Ne(0), y.Ne(1))))
}
