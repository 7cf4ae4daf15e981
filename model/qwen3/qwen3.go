// Package qwen3 is the architecture of the dense Qwen3 models (Yang et al., 2025): Llama's layers
// with RMS norms of each query and key head before the rotary embedding, whose pairs are half a
// head apart.
package qwen3

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen3.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen3"}, Open: open}
}

// Model is an opened model.
type Model struct {
	config    model.Config
	weights   *model.Weights
	embedding *ggml.Tensor // [hidden, vocab]
	layers    []layer
	norm      model.RMSNorm
	output    model.Linear // [hidden, vocab]
}

type layer struct {
	attentionNorm   model.RMSNorm
	queryKeyValue   model.Stack   // [hidden, headDim × heads], [hidden, headDim × kvHeads] twice
	queryNorm       model.RMSNorm // [headDim]
	keyNorm         model.RMSNorm // [headDim]
	rotary          model.Rotary
	attentionOut    model.Linear // [headDim × heads, hidden]
	feedForwardNorm model.RMSNorm
	feedForward     model.SwiGLU
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	heads := l.IntByLayer("attention.head_count", layers)
	kvHeads := l.IntByLayerOr("attention.head_count_kv", layers, heads)
	ff := l.IntByLayer("feed_forward_length", layers)
	headDim := l.IntOr("attention.key_length", hidden/max(append(heads, 1)[0], 1))
	valueDim := l.IntOr("attention.value_length", headDim)
	for i := range layers {
		l.Check(heads[i]%max(kvHeads[i], 1) == 0, "layer %d: %d attention heads are not a multiple of %d KV heads", i, heads[i], kvHeads[i])
	}
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	m := &Model{config: l.Config(hidden)}
	for i := range layers {
		m.config.Layers = append(m.config.Layers, model.Layer{
			Heads: heads[i], KVHeads: kvHeads[i], KeyDim: headDim, ValueDim: valueDim,
			Scale: float32(1 / math.Sqrt(float64(headDim))),
		})
	}
	vocab := m.config.Vocab
	m.embedding = l.Embedding("token_embd", hidden, vocab)
	for i := range layers {
		b := l.Block(i)
		m.layers = append(m.layers, layer{
			attentionNorm: b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue: b.Stack(hidden,
				model.Matrix{Name: "attn_q", Out: headDim * heads[i]},
				model.Matrix{Name: "attn_k", Out: headDim * kvHeads[i]},
				model.Matrix{Name: "attn_v", Out: valueDim * kvHeads[i]}),
			queryNorm:       b.RMSNorm("attn_q_norm", headDim, eps),
			keyNorm:         b.RMSNorm("attn_k_norm", headDim, eps),
			rotary:          b.Rotary(ggml.ModeNeoX, headDim),
			attentionOut:    b.Linear("attn_output", valueDim*heads[i], hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			feedForward: model.SwiGLU{
				GateUp: b.Stack(hidden, model.Matrix{Name: "ffn_gate", Out: ff[i]}, model.Matrix{Name: "ffn_up", Out: ff[i]}),
				Down:   b.Linear("ffn_down", ff[i], hidden),
			},
		})
	}
	head := l.Head()
	m.norm = head.RMSNorm("output_norm", hidden, eps)
	m.output = head.Output("output", "token_embd", hidden, vocab)
	var err error
	if m.weights, err = l.Load(); err != nil {
		return nil, err
	}
	return m, nil
}

// Config returns the model's shape.
func (m *Model) Config() model.Config { return m.config }

// Embed looks the tokens' embeddings up.
func (m *Model) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return g.GetRows(m.embedding, ids) // [hidden, tokens]
}

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x, pos *ggml.Tensor, attend model.Attend) *ggml.Tensor {
	w, c := m.layers[l], m.config.Layers[l]

	h := w.attentionNorm.Forward(g, x)
	qkv := w.queryKeyValue.Forward(g, h)
	q := model.ByHead(g, qkv[0], c.KeyDim)   // [headDim, heads, tokens]
	k := model.ByHead(g, qkv[1], c.KeyDim)   // [headDim, kvHeads, tokens]
	v := model.ByHead(g, qkv[2], c.ValueDim) // [valueDim, kvHeads, tokens]
	q, k = w.queryNorm.Forward(g, q), w.keyNorm.Forward(g, k)
	q, k = w.rotary.Forward(g, q, pos), w.rotary.Forward(g, k, pos)
	x = g.Add(w.attentionOut.Forward(g, attend(q, k, v)), x)

	h = w.feedForwardNorm.Forward(g, x)
	return g.Add(w.feedForward.Forward(g, h), x)
}

// Logits scores the next token.
func (m *Model) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return m.output.Forward(g, m.norm.Forward(g, x)) // [vocab, tokens]
}

// Close frees the weights.
func (m *Model) Close() error { return m.weights.Close() }
