// Package llama is the architecture of Llama 2 and 3, Mistral, Mixtral and SmolLM2 (Touvron et al.,
// 2023; Jiang et al., 2024): RMS norms before attention and feed-forward, grouped queries, rotary
// embedding of neighbouring pairs, SwiGLU or a mixture of such experts.
package llama

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is llama.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"llama"}, Open: open, InterleavedRoPE: true}
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
	feedForward     model.FeedForward
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.Attention(hidden, layers)
	ff := l.IntByLayer("feed_forward_length", layers)
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Softmax, Normalize: true}) // Mixtral's
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
		w := layer{
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			rotary:          b.Rotary(ggml.ModeNormal, a.KeyDim),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
		}
		if a.ExpertsUsed > 0 {
			w.feedForward = b.Experts(mixtures[i], hidden, ff[i])
		} else {
			w.feedForward = b.SwiGLU("", hidden, ff[i])
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
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
