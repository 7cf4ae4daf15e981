// Package gptoss is the architecture of gpt-oss (OpenAI, 2025: gpt-oss-120b and gpt-oss-20b model
// card): every other layer has a sliding window, heads have learned attention sinks, and in every
// layer a mixture of experts, whose matrices have biases, goes through a clamped gated unit.
package gptoss

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// Architecture opens models whose general.architecture is gpt-oss. Ollama's files, in which it is
// gptoss, are of another format: their MXFP4 has another order, and libllama reads no vocabulary from
// them.
func Architecture() model.Architecture {
	return model.Architecture{Names: []string{"gpt-oss"}, Open: open, Attention: attention}
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
	sinks           *ggml.Tensor // [heads]
	attentionOut    model.Linear // [headDim × heads, hidden]
	feedForwardNorm model.RMSNorm
	experts         model.Experts
}

var _ model.WithSinks = (*Model)(nil)

// attention returns the attention of each layer: the first one has a window, and the second none.
func attention(l *model.Loader, hidden, layers int) []model.Layer {
	all := l.Attention(hidden, layers)
	l.Int("attention.sliding_window") // there are no models without
	l.Windows(all, 2)
	return all
}

func open(l *model.Loader) (model.Model, error) {
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := attention(l, hidden, layers)
	ff := l.ExpertWidths(layers)
	l.Int("expert_count") // there are no layers without
	mixtures := l.Mixtures(layers, model.Mixture{Gating: model.SoftmaxOfChosen})
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
		experts := b.Experts(mixtures[i], hidden, ff[i])
		experts.GLU = model.ClampedSiLU
		m.layers = append(m.layers, layer{
			attentionNorm:   b.RMSNorm("attn_norm", hidden, eps),
			queryKeyValue:   b.QueryKeyValue(hidden, a),
			rotary:          b.Rotary(ggml.ModeNeoX, a.KeyDim),
			sinks:           b.Vector("attn_sinks.weight", a.Heads),
			attentionOut:    b.Linear("attn_output", a.ValueDim*a.Heads, hidden),
			feedForwardNorm: b.RMSNorm("post_attention_norm", hidden, eps),
			experts:         experts,
		})
	}
	if err := m.Load(l); err != nil {
		return nil, err
	}
	return m, nil
}

// Sinks returns the sinks of layer l.
func (m *Model) Sinks(l int) *ggml.Tensor { return m.layers[l].sinks }

// Layer adds attention and the experts' results to x.
func (m *Model) Layer(g *ggml.Graph, l int, x *ggml.Tensor, tokens model.Tokens, attend model.Attend, _ model.Recur) *ggml.Tensor {
	w := m.layers[l]

	q, k, v := w.queryKeyValue.ForwardNormed(g, w.attentionNorm, x)
	q, k = w.rotary.Forward(g, q, tokens.Positions), w.rotary.Forward(g, k, tokens.Positions)
	x = w.attentionOut.ForwardAdd(g, attend(q, k, v), x)

	return model.AddNormed(g, w.experts, w.feedForwardNorm, x)
}
