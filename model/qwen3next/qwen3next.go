// Package qwen3next is the architecture of Qwen3-Next (Qwen Team, 2025), such as 80B-A3B and Coder-Next:
// gated delta nets, in every fourth layer gated attention, and in every layer experts beside a shared
// one, which a gate of its own weights.
package qwen3next

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is qwen3next.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"qwen3next"}, Open: open, Attention: (*model.Loader).HybridAttention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	mixerNorm       model.RMSNorm
	recurrent       bool
	deltaNet        deltaNet             // of a recurrent layer
	attention       model.GatedAttention // of the others
	feedForwardNorm model.RMSNorm
	experts         model.SharedExpert
}

// deltaNet is a gated delta net whose projections have the rows of several things, by key head.
type deltaNet struct {
	model.DeltaRule
	queryKeyValue model.Linear // [hidden, channels]
	gate          model.Linear // [hidden, size × heads]
	betaAlpha     model.Linear // [hidden, 2 × heads]: of each key head the betas of its heads, then the alphas

	// mixed takes the place of queryKeyValue and gate in old files: of each key head its query, its key,
	// the values of its heads and what gates them.
	mixed model.Linear // [hidden, 2 × size × (key heads + heads)]
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.HybridAttention(hidden, layers)
	shape := l.DeltaShape()
	shape.Grouped = true
	ff := l.ExpertWidths(layers)
	shared := l.IntByLayerOr("expert_shared_feed_forward_length", layers, ff)
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
		b.Check(b.Has("ffn_gate_inp_shexp.weight"), "tensor blk.%d.ffn_gate_inp_shexp.weight is missing", i)
		w := layer{
			mixerNorm:       b.RMSNorm("attn_norm", hidden, eps),
			recurrent:       a.Recurrent(),
			feedForwardNorm: b.RMSNorm("post_attention_norm", hidden, eps),
			experts:         b.SharedExpert(b.Experts(mixtures[i], hidden, ff[i]), hidden, shared[i]),
		}
		if w.recurrent {
			w.deltaNet = openDeltaNet(b, shape, hidden, eps)
		} else {
			w.attention = b.GatedAttention(hidden, a, eps)
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

func openDeltaNet(b *model.Loader, s model.DeltaShape, hidden int, eps float32) deltaNet {
	d := deltaNet{DeltaRule: b.DeltaRule(s, hidden, eps), betaAlpha: b.Linear("ssm_ba", hidden, 2*s.Heads)}
	if b.Has("ssm_in.weight") {
		d.mixed = b.Linear("ssm_in", hidden, 2*s.Size*(s.KeyHeads+s.Heads))
		return d
	}
	d.queryKeyValue = b.Linear("attn_qkv", hidden, s.Channels())
	d.gate = b.Linear("attn_gate", hidden, s.Size*s.Heads)
	return d
}

// forward maps x [hidden, tokens] to the same shape.
func (d deltaNet) forward(g *ggml.Graph, x *ggml.Tensor, recur model.Recur) *ggml.Tensor {
	qkv, z := d.project(g, x)
	both, heads := d.betaAlpha.Forward(g, x), d.Heads/d.KeyHeads
	return d.Forward(g, qkv, z, d.part(g, both, heads, heads), d.part(g, both, 0, heads), recur)
}

// project returns queries, keys and values of x [hidden, tokens], [channels, tokens], and what gates the
// result, [size × heads, tokens].
func (d deltaNet) project(g *ggml.Graph, x *ggml.Tensor) (qkv, z *ggml.Tensor) {
	if d.mixed.Weight == nil {
		all := model.ForwardAll(g, x, d.queryKeyValue, d.gate)
		return all[0], all[1]
	}
	all, values := d.mixed.Forward(g, x), d.Size*d.Heads/d.KeyHeads
	q, k, v := d.part(g, all, 0, d.Size), d.part(g, all, d.Size, d.Size), d.part(g, all, 2*d.Size, values)
	return g.Concat(g.Concat(q, k, 0), v, 0), d.part(g, all, 2*d.Size+values, values)
}

// part returns n rows of each key head's in y [rows × key heads, tokens], from one on: [n × key heads,
// tokens].
func (d deltaNet) part(g *ggml.Graph, y *ggml.Tensor, first, n int) *ggml.Tensor {
	keyHeads, tokens := int64(d.KeyHeads), y.Ne(1)
	of := g.View3D(y, int64(n), keyHeads, tokens, y.Nb(1)/keyHeads, y.Nb(1), int64(first)*y.Nb(0))
	return g.Reshape2D(g.Cont(of), int64(n)*keyHeads, tokens)
}

// Layer adds what the delta net or attention gives, and then the experts' results, to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	w := m.layers[l]

	h := w.mixerNorm.Forward(g, x)
	if w.recurrent {
		x = g.Add(w.deltaNet.forward(g, h, recur), x)
	} else {
		x = g.Add(w.attention.Forward(g, h, tokens.Positions, attend), x)
	}

	return model.AddNormed(g, w.experts, w.feedForwardNorm, x)
}
