// Package qwen35moe is the architecture of the Qwen3.5 to Qwen3.8 mixtures of experts (Qwen Team, 2026),
// such as 35B-A3B: qwen35's gated delta nets and gated attention, and in every layer experts beside a
// shared one, which a gate of its own weights.
package qwen35moe

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen35moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen35moe"}, Open: open, Attention: (*model.Loader).HybridAttention, Drafts: true}
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
	experts         model.SharedExpert
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.HybridAttention(hidden, layers)
	shape := l.DeltaShape()
	blocks := layers + l.Drafting()
	ff := l.ExpertWidths(blocks)
	shared := l.IntByLayerOr("expert_shared_feed_forward_length", blocks, ff)
	l.Int("expert_count") // there are no layers without
	mixtures := l.Mixtures(blocks, model.Mixture{Gating: model.Softmax, Normalize: true})
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := range attention {
		attention[i].ExpertsUsed = mixtures[i].Used
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps)}
	newLayer := func(b *model.Loader, i int, a model.Layer) layer {
		b.Check(b.Has("ffn_gate_inp_shexp.weight"), "tensor blk.%d.ffn_gate_inp_shexp.weight is missing", i)
		w := layer{
			mixerNorm:       b.RMSNorm("attn_norm", hidden, eps),
			recurrent:       a.Recurrent(),
			feedForwardNorm: b.RMSNorm("post_attention_norm", hidden, eps),
			experts:         b.SharedExpert(b.Experts(mixtures[i], hidden, ff[i]), hidden, shared[i]),
		}
		if w.recurrent {
			w.deltaNet = b.DeltaNet(shape, hidden, eps)
		} else {
			w.attention = b.GatedAttention(hidden, a, eps)
		}
		return w
	}
	for i, a := range attention {
		m.layers = append(m.layers, newLayer(l.Block(i), i, a))
	}
	if l.Drafting() > 0 {
		b, a := l.Head().Block(layers), l.Attention(hidden, blocks)[layers]
		a.ExpertsUsed = mixtures[layers].Used
		w := newLayer(b, layers, a)
		m.DraftBlock(l, b, a, eps, func(g *ggml.Graph, x *ggml.Tensor, tokens model.Tokens, attend model.Attend) *ggml.Tensor {
			return w.forward(g, x, tokens, attend, nil)
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Layer adds what the delta net or attention gives, and then the experts' results, to x.
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

	return model.AddNormed(g, w.experts, w.feedForwardNorm, x)
}
