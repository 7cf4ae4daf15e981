// Package qwen3moe is the architecture of the Qwen3 mixtures of experts (Yang et al., 2025), such as
// 30B-A3B and Coder-30B: qwen3's attention, and in every layer experts without a shared one.
package qwen3moe

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen3moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen3moe"}, Open: open}
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
	experts         model.Experts
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.Attention(hidden, layers)
	ff := l.ExpertWidths(layers)
	l.Int("expert_count") // there are no layers without
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Softmax, Normalize: true})
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := range attention {
		attention[i].ExpertsUsed = mixtures[i].Used
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
			experts:         b.Experts(mixtures[i], hidden, ff[i]),
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Layer adds attention and the experts' results to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	q, k = w.queryNorm.Forward(g, q), w.keyNorm.Forward(g, k)
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.experts, w.feedForwardNorm, x)
}
