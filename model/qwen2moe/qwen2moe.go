// Package qwen2moe is the architecture of the Qwen1.5 and Qwen2 mixtures of experts (Yang et al.,
// 2024): qwen2's attention, and in every layer experts beside a shared one, which a gate of its own
// weights.
package qwen2moe

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen2moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen2moe"}, Open: open}
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
	experts         model.SharedExpert
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.Attention(hidden, layers)
	ff := l.ExpertWidths(layers)
	shared := l.IntByLayerOr("expert_shared_feed_forward_length", layers, l.IntByLayer("feed_forward_length", layers))
	l.Int("expert_count") // there are no layers without
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Softmax})
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
		b.Check(b.Has("ffn_gate_inp_shexp.weight"), "tensor blk.%d.ffn_gate_inp_shexp.weight is missing", i)
		m.layers = append(m.layers, layer{
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			rotary:          b.Rotary(ggml.ModeNeoX, a.KeyDim),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			experts:         b.SharedExpert(b.Experts(mixtures[i], hidden, ff[i]), hidden, shared[i]),
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
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.experts, w.feedForwardNorm, x)
}
