// Package granitehybrid is the architecture of the Granite 4 hybrids (IBM Granite Team, 2025): layers of
// Mamba-2 and a few of attention, dense or with experts, and granite's factors for the embedding, the
// residuals, the scores and the logits.
package granitehybrid

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is granitehybrid.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"granitehybrid"}, Open: open, InterleavedRoPE: true, Attention: (*model.Loader).StateAttention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	embeddingScale float32
	residualScale  float32
	logitScale     float32 // logits are divided by it
	layers         []layer
}

type layer struct {
	mixerNorm       model.RMSNorm
	recurrent       bool
	mamba           model.Mamba2        // of a recurrent layer
	queryKeyValue   model.QueryKeyValue // of the others
	rotary          model.Rotary        // without dimensions: positions are not encoded
	attentionOut    model.Linear        // [headDim × heads, hidden]
	feedForwardNorm model.RMSNorm
	feedForward     model.FeedForward
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.StateAttention(hidden, layers)
	shape := l.Mamba2Shape()
	ff := l.IntByLayer("feed_forward_length", layers) // of one network, or of each expert
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.Softmax, Normalize: true})
	shared := l.UpTo("expert_shared_feed_forward_length", maxShared)
	rotated := l.BoolOr("rope.scaling.finetuned", true) // the converter's key for it
	scale := l.FactorOr("attention.scale", 0)
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	for i := range attention {
		attention[i].ExpertsUsed = mixtures[i].Used
		if scale != 0 && attention[i].KVHeads > 0 {
			attention[i].Scale = scale
		}
	}
	m := &Model{
		Decoder:        l.Decoder(hidden, attention, eps),
		embeddingScale: l.FactorOr("embedding_scale", 1),
		residualScale:  l.FactorOr("residual_scale", 1),
		logitScale:     l.FactorOr("logit_scale", 1),
	}
	for i, a := range attention {
		b := l.Block(i)
		w := layer{
			mixerNorm:       b.RMSNorm("attn_norm", hidden, eps),
			recurrent:       a.Recurrent(),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			feedForward:     feedForward(b, mixtures[i], hidden, ff[i], shared),
		}
		if w.recurrent {
			w.mamba = b.Mamba2(shape, hidden, eps)
		} else {
			w.queryKeyValue = b.QueryKeyValue(hidden, a)
			w.attentionOut = b.Linear("attn_output", a.ValueDim*a.Heads, hidden)
			if rotary := b.Rotary(ggml.ModeNormal, a.KeyDim); rotated {
				w.rotary = rotary
			}
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// maxShared bounds the width of the shared expert: far above that of all models.
const maxShared = 1 << 24

// feedForward returns one network, or experts with a shared one where it has a width.
func feedForward(b *model.Loader, m model.Mixture, hidden, ff, shared int) model.FeedForward {
	switch {
	case m.Count == 0:
		return b.SwiGLU("", hidden, ff)
	case shared == 0:
		return b.Experts(m, hidden, ff)
	default:
		return b.SharedExpert(b.Experts(m, hidden, ff), hidden, shared)
	}
}

// Embed looks the tokens' embeddings up.
func (m *Model) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return model.Scaled(g, m.Decoder.Embed(g, ids), m.embeddingScale) // [hidden, tokens]
}

// Layer adds what Mamba-2 or attention gives, and then the feed-forward's result, to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, recur model.Recur) *ggml.Tensor {
	w := m.layers[l]

	h := w.mixerNorm.Forward(g, x)
	if w.recurrent {
		h = w.mamba.Forward(g, h, recur)
	} else {
		h = w.attention(g, h, tokens.Positions, attend)
	}
	x = g.Add(model.Scaled(g, h, m.residualScale), x)

	h = w.feedForward.Forward(g, w.feedForwardNorm.Forward(g, x))
	return g.Add(model.Scaled(g, h, m.residualScale), x)
}

// attention maps x [hidden, tokens] to the same shape.
func (w layer) attention(g *ggml.Graph, x, positions *ggml.Tensor, attend model.Attend) *ggml.Tensor {
	q, k, v := w.queryKeyValue.Forward(g, x)
	if w.rotary.Dims > 0 {
		q, k = w.rotary.Forward(g, q, positions), w.rotary.Forward(g, k, positions)
	}
	return w.attentionOut.Forward(g, attend(q, k, v))
}

// Logits scores the next token.
func (m *Model) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return model.Scaled(g, m.Decoder.Logits(g, x), 1/m.logitScale) // [vocab, tokens]
}
