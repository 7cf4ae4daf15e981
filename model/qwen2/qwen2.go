// Package qwen2 is the architecture of Qwen2 and Qwen2.5 and of models distilled into them (Yang et
// al., 2024): Llama's layers with biases of query, key and value, and rotary embedding of pairs
// half a head apart.
package qwen2

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen2.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen2"}, Open: open}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	attentionNorm   model.RMSNorm
	queryKeyValue   model.QueryKeyValue
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
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
