// Package granite is the architecture of the dense Granite 3 and 4 models (IBM Granite Team, 2024):
// Llama's layers with factors for the embedding, the residuals, the scores and the logits, and in
// some models without position embedding.
package granite

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is granite.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"granite"}, Open: open, InterleavedRoPE: true}
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
	attentionNorm   model.RMSNorm
	queryKeyValue   model.QueryKeyValue
	rotary          model.Rotary // without dimensions: positions are not encoded
	attentionOut    model.Linear // [headDim × heads, hidden]
	feedForwardNorm model.RMSNorm
	feedForward     model.SwiGLU
}

var _ model.Model = (*Model)(nil)

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := l.Attention(hidden, layers)
	ff := l.IntByLayer("feed_forward_length", layers)
	rotated := l.BoolOr("rope.scaling.finetuned", true) // the converter's key for it
	scale := l.FactorOr("attention.scale", 0)
	eps := l.Float("attention.layer_norm_rms_epsilon")
	if err := l.Err(); err != nil {
		return nil, err
	}
	if scale != 0 {
		for i := range attention {
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
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("ffn_norm", hidden, eps),
			feedForward:     b.SwiGLU("", hidden, ff[i]),
		}
		if rotary := b.Rotary(ggml.ModeNormal, a.KeyDim); rotated {
			w.rotary = rotary
		}
		m.layers = append(m.layers, w)
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Embed looks the tokens' embeddings up.
func (m *Model) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return model.Scaled(g, m.Decoder.Embed(g, ids), m.embeddingScale) // [hidden, tokens]
}

// Layer adds attention and feed-forward to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	if w.rotary.Dims > 0 {
		q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	}
	h := w.attentionOut.Forward(g, attend(q, k, v))
	x = g.Add(model.Scaled(g, h, m.residualScale), x)

	h = w.feedForward.ForwardNormed(g, w.feedForwardNorm, x)
	return g.Add(model.Scaled(g, h, m.residualScale), x)
}

// Logits scores the next token.
func (m *Model) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return model.Scaled(g, m.Decoder.Logits(g, x), 1/m.logitScale) // [vocab, tokens]
}
