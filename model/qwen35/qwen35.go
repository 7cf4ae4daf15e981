// Package qwen35 is the architecture of Qwen3.5 to Qwen3.8 (Qwen Team, 2026): gated delta nets, and in
// every fourth layer attention whose result a gate weights.
package qwen35

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen35.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen35"}, Open: open, Attention: (*model.Loader).HybridAttention, Drafts: true}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	mixerNorm       model.RMSNorm
	recurrent       bool
	deltaNet        model.DeltaNet       // of a recurrent layer
	attention       model.GatedAttention // of the others
	feedForwardNorm model.RMSNorm
	feedForward     model.SwiGLU
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.HybridAttention(hidden, layers)
	shape := l.DeltaShape()
	ff := l.IntByLayer("feed_forward_length", layers+l.Drafting())
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps)}
	for i, a := range attention {
		m.layers = append(m.layers, newLayer(l.Block(i), hidden, a, shape, ff[i], eps))
	}
	if l.Drafting() > 0 {
		b, a := l.Head().Block(layers), l.Attention(hidden, layers+1)[layers]
		w := newLayer(b, hidden, a, shape, ff[layers], eps)
		m.DraftBlock(l, b, a, eps, func(g *ggml.Graph, x *ggml.Tensor, tokens model.Tokens, attend model.Attend) *ggml.Tensor {
			return w.forward(g, x, tokens, attend, nil)
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

func newLayer(b *model.Loader, hidden int, a model.Layer, shape model.DeltaShape, ff int, eps float32) layer {
	w := layer{
		mixerNorm:       b.RMSNorm("attn_norm", hidden, eps),
		recurrent:       a.Recurrent(),
		feedForwardNorm: b.RMSNorm("post_attention_norm", hidden, eps),
		feedForward:     b.SwiGLU("", hidden, ff),
	}
	if w.recurrent {
		w.deltaNet = b.DeltaNet(shape, hidden, eps)
	} else {
		w.attention = b.GatedAttention(hidden, a, eps)
	}
	return w
}

// Layer adds what the delta net or attention gives, and then the feed-forward's result, to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	return m.layers[l].forward(g, x, tokens, attend, recur)
}

func (w layer) forward(g *ggml.Graph, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	h := w.mixerNorm.Forward(g, x)
	if w.recurrent {
		x = g.Add(w.deltaNet.Forward(g, h, recur), x)
	} else {
		x = g.Add(w.attention.Forward(g, h, tokens.Positions, attend), x)
	}

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}
