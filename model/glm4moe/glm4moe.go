// Package glm4moe is the architecture of GLM-4.5 and its kin (GLM-4.5 Team, 2025): biases of query,
// key and value, in some models norms of each query and key head, rotary embedding of a part of
// each head, first layers with one feed-forward network, and in all others experts, chosen by
// sigmoids and a bias, beside a shared one.
package glm4moe

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is glm4moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"glm4moe"}, Open: open}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	attentionNorm   model.RMSNorm
	queryKeyValue   model.QueryKeyValue
	queryNorm       model.RMSNorm // [headDim], as keyNorm; without weights in models that have none
	keyNorm         model.RMSNorm
	rotary          model.Rotary
	attentionOut    model.Linear // [headDim × heads, hidden]
	feedForwardNorm model.RMSNorm
	feedForward     model.FeedForward
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.Attention(hidden, layers)
	ff, expertFF := l.IntByLayer("feed_forward_length", layers), l.ExpertWidths(layers)
	shared := l.IntOr("expert_shared_count", 1)
	dense := l.LeadingDense(layers)
	l.Int("expert_count") // all other layers have experts
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Sigmoid})
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := dense; i < layers; i++ {
		attention[i].ExpertsUsed = mixtures[i].Used
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps)}
	for i, a := range attention {
		b := l.Block(i)
		w := layer{
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			rotary:          b.Rotary(ggml.ModeNeoX, a.KeyDim),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("post_attention_norm", hidden, eps),
		}
		if b.Has("attn_q_norm.weight") || b.Has("attn_k_norm.weight") {
			w.queryNorm, w.keyNorm = b.RMSNorm("attn_q_norm", a.KeyDim, eps), b.RMSNorm("attn_k_norm", a.KeyDim, eps)
		}
		if i < dense {
			w.feedForward = b.SwiGLU("", hidden, ff[i])
		} else {
			b.Check(b.Has("exp_probs_b.bias"), "tensor blk.%d.exp_probs_b.bias is missing", i)
			w.feedForward = b.SharedExpert(b.Experts(mixtures[i], hidden, expertFF[i]), hidden, expertFF[i]*shared)
		}
		m.layers = append(m.layers, w)
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
	if w.queryNorm.Weight != nil {
		q, k = w.queryNorm.Forward(g, q), w.keyNorm.Forward(g, k)
	}
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
