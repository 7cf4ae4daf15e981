// Package glm4 is the architecture of GLM-4-0414 (GLM Team, 2024): biases of query, key and value,
// rotary embedding of a part of each head, gate and up in one matrix, and norms before and behind
// attention and feed-forward.
package glm4

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is glm4. RoPE turns neighbouring values, as it
// does in Hugging Face's models of this architecture.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"glm4"}, Open: open}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	attentionNorm      model.RMSNorm
	queryKeyValue      model.QueryKeyValue
	rotary             model.Rotary
	attentionOut       model.Linear // [headDim × heads, hidden]
	attentionOutNorm   model.RMSNorm
	feedForwardNorm    model.RMSNorm
	feedForward        model.SwiGLU
	feedForwardOutNorm model.RMSNorm
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
			attentionNorm:    b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:    b.QueryKeyValue(hidden, a),
			rotary:           b.Rotary(ggml.ModeNormal, a.KeyDim),
			attentionOut:     b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			attentionOutNorm: b.RMSNorm("post_attention_norm", hidden, eps),
			feedForwardNorm:  b.RMSNorm("ffn_norm", hidden, eps),
			feedForward: model.SwiGLU{
				GateUp: b.Merged("ffn_up", hidden, ff[i], ff[i]),
				Down:   b.Linear("ffn_down", ff[i], hidden),
			},
			feedForwardOutNorm: b.RMSNorm("post_ffw_norm", hidden, eps),
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
	h := w.attentionOut.Forward(g, attend(q, k, v))
	x = g.Add(w.attentionOutNorm.Forward(g, h), x)

	h = w.feedForward.ForwardNormed(g, w.feedForwardNorm, x)
	return g.Add(w.feedForwardOutNorm.Forward(g, h), x)
}
