// Package nemotronh is the architecture of Nemotron-H and Nemotron 3 (NVIDIA, 2025): each layer is one of
// Mamba-2, of attention without positions, or a feed-forward, which may be experts of narrower vectors
// beside a shared one.
package nemotronh

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is nemotron_h or nemotron_h_moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"nemotron_h", "nemotron_h_moe"}, Open: open, Attention: attention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	norm          model.RMSNorm
	kind          kind
	mamba         model.Mamba2
	queryKeyValue model.QueryKeyValue
	attentionOut  model.Linear // [headDim × heads, hidden]
	feedForward   model.FeedForward
}

// kind is what a layer does.
type kind int

const (
	recurs kind = iota
	attends
	feeds
)

// network is a feed-forward without a gate: down(relu(up(x))²).
type network struct{ up, down model.Linear }

// experts are experts beside a shared network. Where narrow has a weight they map what it makes of a
// token, and wide maps the result back.
type experts struct {
	model.Experts
	shared network
	narrow model.Linear // [hidden, latent]
	wide   model.Linear // [latent, hidden]
}

var _ model.Model = (*Model)(nil)

// attention returns the attention of each layer. Layers with a width of their feed-forward have no more
// than that, and the others without KV heads are recurrent.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	all := l.StateAttention(hidden, layers)
	for i, ff := range l.SomeByLayer("feed_forward_length", layers, nil) {
		if ff > 0 {
			all[i] = model.Layer{}
		}
	}
	return all
}

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
	shape := l.Mamba2Shape()
	ff := l.SomeByLayer("feed_forward_length", layers, nil)
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Sigmoid})
	widths := l.IntByLayerOr("expert_feed_forward_length", layers, nil)
	latent, shared := l.UpTo("moe_latent_size", most), l.UpTo("expert_shared_feed_forward_length", most)
	l.UpTo("expert_shared_count", most) // the width is that of all
	l.FloatOr("rope.freq_base", 0)      // nothing turns, whatever files say, as in llama.cpp
	l.UpTo("rope.dimension_count", most)
	eps := l.FloatOr("attention.layer_norm_rms_epsilon", l.FloatOr("attention.layer_norm_epsilon", 0))
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := range attention {
		if ff[i] > 0 {
			attention[i].ExpertsUsed = mixtures[i].Used
		}
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps)}
	for i, a := range attention {
		b := l.Block(i)
		w := layer{norm: b.RMSNorm("attn_norm", hidden, eps)}
		switch {
		case a.Recurrent():
			w.kind, w.mamba = recurs, b.Mamba2(shape, hidden, eps)
		case a.KVHeads > 0:
			w.kind, w.queryKeyValue = attends, b.QueryKeyValue(hidden, a)
			w.attentionOut = b.Linear("attn_output", a.ValueDim*a.Heads, hidden)
		case mixtures[i].Count == 0:
			w.kind, w.feedForward = feeds, openNetwork(b, "", hidden, ff[i])
		default:
			width := widths[i]
			if width == 0 { // in old files
				width = ff[i] / mixtures[i].Used
			}
			b.Check(b.Has("exp_probs_b.bias"), "tensor blk.%d.exp_probs_b.bias is missing", i)
			w.kind, w.feedForward = feeds, openExperts(b, mixtures[i], hidden, latent, width, shared)
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// most bounds widths: far above those of all models.
const most = 1 << 24

// openNetwork returns the matrices ffn_up and ffn_down, whose names have suffix behind them.
func openNetwork(b *model.Loader, suffix string, hidden, ff int) network {
	return network{up: b.Linear("ffn_up"+suffix, hidden, ff), down: b.Linear("ffn_down"+suffix, ff, hidden)}
}

func openExperts(b *model.Loader, m model.Mixture, hidden, latent, ff, shared int) experts {
	e := experts{shared: openNetwork(b, "_shexp", hidden, shared)}
	width := hidden
	if latent > 0 {
		width = latent
		e.narrow, e.wide = b.Linear("ffn_latent_down", hidden, latent), b.Linear("ffn_latent_up", latent, hidden)
	}
	e.Experts = b.UngatedExperts(m, hidden, width, ff, (*ggml.Graph).SquaredReLU)
	return e
}

// Layer adds what Mamba-2, attention or the feed-forward gives to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, _ model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	w := m.layers[l]

	h := w.norm.Forward(g, x)
	switch w.kind {
	case recurs:
		h = w.mamba.Forward(g, h, recur)
	case attends:
		h = w.attentionOut.Forward(g, attend(w.queryKeyValue.Forward(g, h)))
	case feeds:
		h = w.feedForward.Forward(g, h)
	}
	return g.Add(h, x)
}

// Forward maps x [hidden, tokens] to the same shape.
func (n network) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return n.down.Forward(g, g.SquaredReLU(n.up.Forward(g, x)))
}

// Forward maps x [hidden, tokens] to the same shape.
func (e experts) Forward(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	y := x
	if e.narrow.Weight != nil {
		y = e.narrow.Forward(g, x) // [latent, tokens]
	}
	y = e.ForwardRouted(g, y, x)
	if e.wide.Weight != nil {
		y = e.wide.Forward(g, y)
	}
	return g.Add(y, e.shared.Forward(g, x))
}
