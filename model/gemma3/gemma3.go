// Package gemma3 is the architecture of Gemma 3 (Gemma Team, 2025): most layers have a sliding window
// and encode positions with a base of their own, queries and keys are normalised head by head, and
// norms stand before and behind attention and feed-forward.
package gemma3

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is gemma3.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"gemma3"}, Open: open, Attention: attention}
}

// Model is an opened model.
type Model struct {
	model.Decoder
	softCap float32 // of the logits; 0: none
	layers  []layer
}

type layer struct {
	attentionNorm      model.RMSNorm
	queryKeyValue      model.QueryKeyValue
	queryNorm          model.RMSNorm // [headDim]
	keyNorm            model.RMSNorm // [headDim]
	rotary             model.Rotary
	attentionOut       model.Linear // [headDim × heads, hidden]
	attentionOutNorm   model.RMSNorm
	feedForwardNorm    model.RMSNorm
	feedForward        model.GeGLU
	feedForwardOutNorm model.RMSNorm
}

var _ model.Model = (*Model)(nil)

// attention returns the attention of each layer. The largest model divides scores by the root of the
// width of a head, which is not the dimension of its keys; no metadata says so.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	const (
		every   = 6  // layers, of which the last sees all tokens
		largest = 62 // layers of Gemma 3 27B
	)
	all := l.Attention(hidden, layers)
	l.Windows(all, every)
	for i := range all {
		all[i].SoftCap = l.FactorOr("attn_logit_softcapping", 0)
		if layers == largest {
			all[i].Scale = float32(1 / math.Sqrt(float64(hidden/max(all[i].Heads, 1))))
		}
	}
	return all
}

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
	ff := l.IntByLayer("feed_forward_length", layers)
	softCap := l.FactorOr("final_logit_softcapping", 0)
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	m := &Model{Decoder: l.Decoder(hidden, attention, eps), softCap: softCap}
	for i, a := range attention {
		b := l.Block(i)
		rotary := b.Rotary(ggml.ModeNeoX, a.KeyDim)
		if windowed := b.WindowedRotary(ggml.ModeNeoX, a.KeyDim); a.Window > 0 {
			rotary = windowed
		}
		m.layers = append(m.layers, layer{
			attentionNorm:      b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:      b.QueryKeyValue(hidden, a),
			queryNorm:          b.RMSNorm("attn_q_norm", a.KeyDim, eps),
			keyNorm:            b.RMSNorm("attn_k_norm", a.KeyDim, eps),
			rotary:             rotary,
			attentionOut:       b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			attentionOutNorm:   b.RMSNorm("post_attention_norm", hidden, eps),
			feedForwardNorm:    b.RMSNorm("ffn_norm", hidden, eps),
			feedForward:        b.GeGLU(hidden, ff[i]),
			feedForwardOutNorm: b.RMSNorm("post_ffw_norm", hidden, eps),
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Embed looks the tokens' embeddings up, and multiplies them by the root of their width.
func (m *Model) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return g.Scale(m.Decoder.Embed(g, ids), float32(math.Sqrt(float64(m.Config().Hidden)))) // [hidden, tokens]
}

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	q, k = w.queryNorm.Forward(g, q), w.keyNorm.Forward(g, k)
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	h := w.attentionOut.Forward(g, attend(q, k, v))
	x = g.Add(w.attentionOutNorm.Forward(g, h), x)

	h = w.feedForward.ForwardNormed(g, w.feedForwardNorm, x)
	return g.Add(w.feedForwardOutNorm.Forward(g, h), x)
}

// Logits scores the next token.
func (m *Model) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return model.SoftCap(g, m.Decoder.Logits(g, x), m.softCap) // [vocab, tokens]
}
