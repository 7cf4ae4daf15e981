// Package smollm3 is the architecture of SmolLM3 (Bakouch et al., 2025): Llama's layers, of which every
// fourth has no position embedding (Yang et al., 2025).
package smollm3

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is smollm3.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"smollm3"}, Open: open, InterleavedRoPE: true}
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
			rotary:          b.Rotary(ggml.ModeNormal, a.KeyDim),
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

// unrotated is how many layers there are for each one without position embedding, the last of them.
const unrotated = 4

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	if (l+1)%unrotated != 0 {
		q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	}
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
