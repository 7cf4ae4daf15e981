package model

import (
	"math"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
)

// Attention returns the shape of each layer's attention, of queries in groups that share a key head
// (Ainslie et al., 2023): heads and KV heads, which a file may give by layer, and their dimensions.
// Scores are divided by the root of the keys' dimension.
func (l *Loader) Attention(hidden, layers int) []Layer {
	heads := l.IntByLayer("attention.head_count", layers)
	return l.groupedAttention(hidden, heads, l.IntByLayerOr("attention.head_count_kv", layers, heads))
}

// SomeAttention is Attention for models in which some layers have none, which is what a file says with 0
// heads or 0 KV heads: such a layer is zero.
func (l *Loader) SomeAttention(hidden, layers int) []Layer {
	l.need("attention.head_count")
	heads := l.SomeByLayer("attention.head_count", layers, nil)
	return l.groupedAttention(hidden, heads, l.SomeByLayer("attention.head_count_kv", layers, heads))
}

// groupedAttention returns attention with some heads and KV heads in each layer.
func (l *Loader) groupedAttention(hidden int, heads, kvHeads []int) []Layer {
	first := 1 // heads of the first layer that has some
	if i := slices.IndexFunc(heads, func(n int) bool { return n > 0 }); i >= 0 {
		first = heads[i]
	}
	keyDim := l.IntOr("attention.key_length", hidden/first)
	valueDim := l.IntOr("attention.value_length", keyDim)
	all := make([]Layer, len(heads))
	for i := range all {
		if heads[i] == 0 || kvHeads[i] == 0 {
			continue
		}
		l.Check(heads[i]%kvHeads[i] == 0, "layer %d: %d attention heads are not a multiple of %d KV heads", i, heads[i], kvHeads[i])
		all[i] = Layer{
			Heads: heads[i], KVHeads: kvHeads[i], KeyDim: keyDim, ValueDim: valueDim,
			Scale: float32(1 / math.Sqrt(float64(keyDim))),
		}
	}
	return all
}

// QueryKeyValue computes a layer's queries, keys and values.
type QueryKeyValue struct {
	parts Stack
	shape Layer
}

// QueryKeyValue returns the matrices attn_q, attn_k and attn_v, or attn_qkv, which has the rows of
// all three, with their biases.
func (l *Loader) QueryKeyValue(hidden int, a Layer) QueryKeyValue {
	q, k, v := a.KeyDim*a.Heads, a.KeyDim*a.KVHeads, a.ValueDim*a.KVHeads
	if l.Has("attn_qkv.weight") {
		return QueryKeyValue{l.Merged("attn_qkv", hidden, q, k, v), a}
	}
	return QueryKeyValue{l.Stack(hidden, Matrix{"attn_q", q}, Matrix{"attn_k", k}, Matrix{"attn_v", v}), a}
}

// Forward maps x [hidden, tokens] to q [headDim, heads, tokens], k [headDim, kvHeads, tokens] and v
// [valueDim, kvHeads, tokens].
func (p QueryKeyValue) Forward(g *ggml.Graph, x *ggml.Tensor) (q, k, v *ggml.Tensor) {
	return p.byHead(g, p.parts.Forward(g, x))
}

// ForwardNormed is Forward of x's norm.
func (p QueryKeyValue) ForwardNormed(g *ggml.Graph, norm RMSNorm, x *ggml.Tensor) (q, k, v *ggml.Tensor) {
	return p.byHead(g, p.parts.ForwardNormed(g, norm, x))
}

func (p QueryKeyValue) byHead(g *ggml.Graph, all []*ggml.Tensor) (q, k, v *ggml.Tensor) {
	return ByHead(g, all[0], p.shape.KeyDim), ByHead(g, all[1], p.shape.KeyDim), ByHead(g, all[2], p.shape.ValueDim)
}

// ByHead returns x [dim × heads, tokens] as [dim, heads, tokens].
func ByHead(g *ggml.Graph, x *ggml.Tensor, dim int) *ggml.Tensor {
	d := int64(dim)
	return g.View3D(x, d, x.Ne(0)/d, x.Ne(1), d*x.Nb(0), x.Nb(1), 0)
}
