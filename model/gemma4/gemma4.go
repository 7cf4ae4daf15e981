// Package gemma4 is the architecture of Gemma 4 (Google, 2026): Gemma 3's layers, whose heads are wider
// where they see the whole context, with normalised values and scores that are not divided. In large
// models keys serve as values there, in the mixture of experts these stand beside a dense network, and
// in small ones the last layers attend to the keys and values of earlier ones and each layer has an
// embedding of its own.
package gemma4

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is gemma4.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"gemma4"}, Open: open, Attention: attention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	softCap float32 // of the logits; 0: none
	layers  []layer
}

type layer struct {
	attentionNorm      model.RMSNorm
	queryKeyValue      model.Stack // without the values where keys serve, and of queries alone where K/V are shared
	shape              model.Layer
	queryNorm          model.RMSNorm // [headDim]
	keyNorm            model.RMSNorm // [headDim]
	valueEps           float32       // of the norm of values, which has no weight
	rotary             model.Rotary
	attentionOut       model.Linear // [headDim × heads, hidden]
	attentionOutNorm   model.RMSNorm
	feedForward        model.FeedForward // with the norm before it
	feedForwardOutNorm model.RMSNorm
	embedding          model.PerLayerEmbedding // none in models of one embedding
	scale              *ggml.Tensor            // [1] of the layer's output; nil: 1
}

var _ model.Model = (*Model)(nil)

// attention returns the attention of each layer.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	all := l.Attention(hidden, layers)
	l.Int("attention.sliding_window")
	l.Windows(all, 0)
	keyDim := l.Int("attention.key_length_swa")
	valueDim := l.IntOr("attention.value_length_swa", keyDim)
	for i := range all {
		if all[i].Scale = 1; all[i].Window > 0 {
			all[i].KeyDim, all[i].ValueDim = keyDim, valueDim
		}
	}
	l.ShareKV(all)
	return all
}

// widest bounds the embeddings of layers, far above those of all models.
const widest = 1 << 16

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
	ff := l.IntByLayer("feed_forward_length", layers)
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Softmax, Normalize: true})
	perLayer := l.UpTo("embedding_length_per_layer_input", widest)
	softCap := l.FactorOr("final_logit_softcapping", 0)
	eps := l.Float("attention.layer_norm_rms_epsilon")
	l.Check(l.Has("rope_freqs.weight"), "tensor rope_freqs.weight is missing")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i, m := range mixtures {
		attention[i].ExpertsUsed = m.Used
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps), softCap: softCap}
	for i, a := range attention {
		b := l.Block(i)
		w := layer{
			attentionNorm:      b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:      queryKeyValue(b, hidden, a),
			shape:              a,
			queryNorm:          b.RMSNorm("attn_q_norm", a.KeyDim, eps),
			valueEps:           eps,
			attentionOut:       b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			attentionOutNorm:   b.RMSNorm("post_attention_norm", hidden, eps),
			feedForward:        feedForward(b, mixtures[i], hidden, ff[i], eps),
			feedForwardOutNorm: b.RMSNorm("post_ffw_norm", hidden, eps),
		}
		if w.rotary = b.WindowedRotary(ggml.ModeNeoX, a.KeyDim); a.Window == 0 {
			w.rotary = b.Rotary(ggml.ModeNeoX, a.KeyDim)
		}
		if !a.SharesKV {
			w.keyNorm = b.RMSNorm("attn_k_norm", a.KeyDim, eps)
		}
		if perLayer > 0 {
			w.embedding = b.PerLayerEmbedding(i, layers, hidden, perLayer, m.Config().Vocab, eps)
		}
		if b.Has("layer_output_scale.weight") {
			w.scale = b.Vector("layer_output_scale.weight", 1)
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// queryKeyValue returns the matrices of a layer's queries, keys and values. Without a window a layer
// may have no matrix for values.
func queryKeyValue(b *model.Loader, hidden int, a model.Layer) model.Stack {
	matrices := []model.Matrix{{Name: "attn_q", Out: a.KeyDim * a.Heads}}
	if a.SharesKV {
		for _, name := range []string{"attn_k.weight", "attn_v.weight", "attn_k_norm.weight"} {
			b.Spare(name) // the layers were trained with them
		}
		return b.Stack(hidden, matrices...)
	}
	matrices = append(matrices, model.Matrix{Name: "attn_k", Out: a.KeyDim * a.KVHeads})
	if a.Window > 0 || b.Has("attn_v.weight") {
		return b.Stack(hidden, append(matrices, model.Matrix{Name: "attn_v", Out: a.ValueDim * a.KVHeads})...)
	}
	b.Check(a.KeyDim == a.ValueDim, "keys of %d values serve as values of %d: want equally many", a.KeyDim, a.ValueDim)
	return b.Stack(hidden, matrices...)
}

// feedForward returns a layer's network, and the experts beside it if it has some.
func feedForward(b *model.Loader, m model.Mixture, hidden, ff int, eps float32) model.FeedForward {
	network := dense{norm: b.RMSNorm("ffn_norm", hidden, eps), network: b.GeGLU(hidden, ff)}
	if m.Count == 0 {
		return network
	}
	experts := b.Experts(m, hidden, b.Int("expert_feed_forward_length"))
	experts.GLU = model.GELU
	experts.Scales = b.Vector("ffn_down_exps.scale", m.Count)
	return mixture{
		dense:      network,
		denseNorm:  b.RMSNorm("post_ffw_norm_1", hidden, eps),
		inNorm:     b.RMSNorm("pre_ffw_norm_2", hidden, eps),
		routerNorm: model.RMSNorm{Weight: b.Vector("ffn_gate_inp.scale", hidden), Eps: eps},
		experts:    experts,
		outNorm:    b.RMSNorm("post_ffw_norm_2", hidden, eps),
	}
}

// Embed looks the tokens' embeddings up, and multiplies them by the root of their width.
func (m *Model) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return g.Scale(m.Decoder.Embed(g, ids), float32(math.Sqrt(float64(m.Config().Hidden)))) // [hidden, tokens]
}

// Layer adds attention, feed-forward and the layer's embedding to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	h := w.attentionNorm.Forward(g, x)
	h = w.attentionOut.Forward(g, attend(w.attended(g, h, tokens.Positions)))
	x = g.Add(w.attentionOutNorm.Forward(g, h), x)

	h = w.feedForward.Forward(g, x)
	x = g.Add(w.feedForwardOutNorm.Forward(g, h), x)

	if w.embedding.Has() {
		x = w.embedding.Forward(g, x, tokens.IDs)
	}
	if w.scale != nil {
		x = g.Mul(x, w.scale)
	}
	return x
}

// attended maps x [hidden, tokens] to q [headDim, heads, tokens] and to k and v [headDim, kvHeads,
// tokens], which are nil where they are another layer's.
func (w layer) attended(g *ggml.Graph, x, positions *ggml.Tensor) (q, k, v *ggml.Tensor) {
	all := w.queryKeyValue.Forward(g, x)
	q = w.queryNorm.Forward(g, model.ByHead(g, all[0], w.shape.KeyDim))
	q = w.rotary.Forward(g, q, positions)
	if w.shape.SharesKV {
		return q, nil, nil
	}
	k = model.ByHead(g, all[1], w.shape.KeyDim)
	v = model.ByHead(g, all[len(all)-1], w.shape.ValueDim) // the keys where there are no values
	k = w.rotary.Forward(g, w.keyNorm.Forward(g, k), positions)
	return q, k, g.RMSNorm(v, w.valueEps)
}

// dense is a feed-forward network with the norm before it.
type dense struct {
	norm    model.RMSNorm
	network model.GeGLU
}

// Forward maps x [hidden, tokens] to the same shape.
func (d dense) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return d.network.ForwardNormed(g, d.norm, x)
}

// mixture is a dense network and experts side by side, with a norm behind each. The router reads the
// layer's input with a norm of its own, divided by the root of its width.
type mixture struct {
	dense      dense
	denseNorm  model.RMSNorm // behind the network
	inNorm     model.RMSNorm // before the experts
	routerNorm model.RMSNorm
	experts    model.Experts
	outNorm    model.RMSNorm // behind the experts
}

// Forward maps x [hidden, tokens] to the same shape.
func (m mixture) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	h := m.denseNorm.Forward(g, m.dense.Forward(g, x))
	routed := g.Scale(m.routerNorm.Forward(g, x), float32(1/math.Sqrt(float64(x.Ne(0)))))
	chosen := m.experts.ForwardRouted(g, m.inNorm.Forward(g, x), routed)
	return g.Add(h, m.outNorm.Forward(g, chosen))
}

// Logits scores the next token.
func (m *Model) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return model.SoftCap(g, m.Decoder.Logits(g, x), m.softCap) // [vocab, tokens]
}
