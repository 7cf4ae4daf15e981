// Package lfm2 is the architecture of LFM2 and its mixtures of experts (Liquid AI, 2025): most layers
// have a short convolution between two gates, the others attention with norms of queries and keys.
package lfm2

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is lfm2 or lfm2moe.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"lfm2", "lfm2moe"}, Open: open, Attention: attention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	layers []layer
}

type layer struct {
	mixerNorm       model.RMSNorm
	recurrent       bool
	convolution     shortConvolution // of a recurrent layer
	attention       attending        // of the others
	feedForwardNorm model.RMSNorm
	feedForward     model.FeedForward
}

// shortConvolution is a convolution whose input and output are gated.
type shortConvolution struct {
	in          model.Stack // [hidden, 3 × hidden]: the gates of input and output, and the input
	convolution model.Convolution
	out         model.Linear // [hidden, hidden]
}

type attending struct {
	queryKeyValue model.QueryKeyValue
	queryNorm     model.RMSNorm // [headDim]
	keyNorm       model.RMSNorm // [headDim]
	rotary        model.Rotary
	out           model.Linear // [headDim × heads, hidden]
}

var _ model.Model = (*Model)(nil)

// attention returns the attention of each layer. A layer without KV heads has a convolution, whose state
// is its last inputs.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	all, kernel := l.SomeAttention(hidden, layers), l.Kernel("shortconv.l_cache")
	for i, a := range all {
		if a.KVHeads == 0 {
			all[i] = model.Layer{State: model.State{Inputs: (kernel - 1) * hidden}}
		}
	}
	return all
}

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
	kernel := l.Kernel("shortconv.l_cache")
	ff, dense := l.IntByLayer("feed_forward_length", layers), layers
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Sigmoid, Normalize: true})
	experts := make([]int, layers)
	if layers > 0 && mixtures[0].Count > 0 {
		dense, experts = l.LeadingDense(layers), l.ExpertWidths(layers)
	}
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := dense; i < layers; i++ {
		attention[i].ExpertsUsed = mixtures[i].Used
	}
	// The norm behind the layers has this name in the files.
	m := &Model{Decoder: l.DecoderWithNorm("token_embd_norm", hidden, attention, eps)}
	for i, a := range attention {
		b := l.Block(i)
		w := layer{
			mixerNorm:       b.RMSNorm("attn_norm", hidden, eps),
			recurrent:       a.Recurrent(),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
		}
		if w.recurrent {
			w.convolution = shortConvolution{
				in:          b.Merged("shortconv.in_proj", hidden, hidden, hidden, hidden),
				convolution: b.Convolution("shortconv.conv", kernel, hidden),
				out:         b.Linear("shortconv.out_proj", hidden, hidden),
			}
		} else {
			w.attention = attending{
				queryKeyValue: b.QueryKeyValue(hidden, a),
				queryNorm:     b.RMSNorm("attn_q_norm", a.KeyDim, eps),
				keyNorm:       b.RMSNorm("attn_k_norm", a.KeyDim, eps),
				rotary:        b.Rotary(ggml.ModeNeoX, a.KeyDim),
				out:           b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			}
		}
		if i < dense {
			w.feedForward = b.SwiGLU("", hidden, ff[i])
		} else {
			b.Check(b.Has("exp_probs_b.bias"), "tensor blk.%d.exp_probs_b.bias is missing", i)
			w.feedForward = b.Experts(mixtures[i], hidden, experts[i])
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Layer adds what the convolution or attention gives, and then the feed-forward's result, to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	w := m.layers[l]

	h := w.mixerNorm.Forward(g, x)
	if w.recurrent {
		x = g.Add(w.convolution.forward(g, h, recur), x)
	} else {
		x = g.Add(w.attention.forward(g, h, tokens.Positions, attend), x)
	}

	return model.AddNormed(g, w.feedForward, w.feedForwardNorm, x)
}

// forward maps x [hidden, tokens] to the same shape.
func (c shortConvolution) forward(g *ggml.Graph, x *ggml.Tensor, recur model.Recur) *ggml.Tensor {
	in := c.in.Forward(g, x) // [hidden, tokens] each
	y := recur([]*ggml.Tensor{g.Mul(in[0], in[2])}, func(from model.States, inputs []*ggml.Tensor, keep int) (*ggml.Tensor, []model.States) {
		y, last := c.convolution.Forward(g, from.Inputs, inputs[0], keep)
		to := make([]model.States, keep)
		for back := range to {
			to[back].Inputs = last[back]
		}
		return g.Reshape2D(y, y.Ne(0), y.Ne(1)*y.Ne(2)), to
	})
	return c.out.Forward(g, g.Mul(y, in[1]))
}

// forward maps x [hidden, tokens] to the same shape.
func (a attending) forward(g *ggml.Graph, x, positions *ggml.Tensor, attend model.Attend) *ggml.Tensor {
	q, k, v := a.queryKeyValue.Forward(g, x)
	q, k = a.queryNorm.Forward(g, q), a.keyNorm.Forward(g, k)
	q, k = a.rotary.Forward(g, q, positions), a.rotary.Forward(g, k, positions)
	return a.out.Forward(g, attend(q, k, v))
}
