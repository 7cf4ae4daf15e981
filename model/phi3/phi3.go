// Package phi3 is the architecture of Phi-3 and Phi-4 (Abdin et al., 2024): query, key and value in
// one matrix, gate and up in another, and in models of long contexts LongRoPE's two lists of factors.
package phi3

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is phi3.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"phi3"}, Open: open, Attention: attention}
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

var _ model.ByContext = (*Model)(nil)

// attention returns the attention of each layer. Those of Phi-3 mini with a context of 4096 tokens have
// a window, as in Hugging Face; llama.cpp leaves it out.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	all := l.Attention(hidden, layers)
	l.SameWindow(all)
	return all
}

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
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
			rotary:          b.LongRotary(ggml.ModeNeoX, a.KeyDim),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			feedForward: model.SwiGLU{
				GateUp: b.Merged("ffn_up", hidden, ff[i], ff[i]),
				Down:   b.Linear("ffn_down", ff[i], hidden),
			},
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// InContext returns the model for contexts of some tokens, which decide between LongRoPE's factors.
// llama.cpp decides so too; Hugging Face decides by the tokens that a sequence has.
func (m *Model) InContext(tokens int) model.Model {
	n := &Model{Decoder: m.Decoder, layers: slices.Clone(m.layers)}
	for i, w := range n.layers {
		n.layers[i].rotary = w.rotary.InContext(tokens)
		switch {
		case w.rotary.LongFactors == nil:
		case n.layers[i].rotary.Factors == w.rotary.LongFactors:
			n.Decoder = m.WithRoPE("longrope, long factors")
		default:
			n.Decoder = m.WithRoPE("longrope, short factors")
		}
	}
	return n
}

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
