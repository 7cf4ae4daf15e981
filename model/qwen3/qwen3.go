// Package qwen3 is the architecture of the dense Qwen3 models (Yang et al., 2025): Llama's layers
// with RMS norms of each query and key head before the rotary embedding, whose pairs are half a
// head apart.
package qwen3

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen3.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen3"}, Open: open}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	attentionNorm   model.RMSNorm
	queryKeyValue   model.QueryKeyValue
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
	attention := l.Attention(hidden, layers)
	ff := l.IntByLayer("feed_forward_length", layers)
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps)}
	for i, a := range attention {
		b := l.Block(i)
		m.layers = append(m.layers, layer{
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			queryNorm:       b.RMSNorm("attn_q_norm", a.KeyDim, eps),
			keyNorm:         b.RMSNorm("attn_k_norm", a.KeyDim, eps),
			rotary:          b.Rotary(ggml.ModeNeoX, a.KeyDim),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			feedForward:     b.SwiGLU("", hidden, ff[i]),
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	q, k = w.queryNorm.Forward(g, q), w.keyNorm.Forward(g, k)
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
