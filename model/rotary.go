package model

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// Rotary is rotary position embedding (Su et al., 2021), for contexts longer than the one of
// training with positions that are divided by a factor (Chen et al., 2023) or with frequencies that
// YaRN interpolates (Peng et al., 2023).
type Rotary struct {
	ggml.RoPE
	Factors *ggml.Tensor // [dims/2] that frequencies are divided by, or nil
}

// Forward rotates x [headDim, heads, tokens] by the positions of its tokens.
func (r Rotary) Forward(g *ggml.Graph, x, pos *ggml.Tensor) *ggml.Tensor {
	return g.RoPE(x, pos, r.Factors, r.RoPE)
}

// Rotary returns the rotary embedding that the file describes, with the factors of
// rope_freqs.weight where it has them. All layers share these factors; they are on the device of
// this loader's layer.
//
// The metadata is that of the GGUF specification and of llama.cpp. A factor without a type means
// linear scaling; rope.scale_linear is the older name of the factor.
func (l *Loader) Rotary(mode, headDim int) Rotary {
	context := l.IntOr("context_length", defaultContext)
	r := Rotary{RoPE: ggml.RoPE{
		Dims: l.IntOr("rope.dimension_count", headDim), Mode: mode,
		OrigContext: l.IntOr("rope.scaling.original_context_length", context),
		Base:        l.FloatOr("rope.freq_base", 10000), Scale: 1,
		Attn:     l.FloatOr("rope.scaling.attn_factor", 1),
		BetaFast: l.FloatOr("rope.scaling.yarn_beta_fast", 32), BetaSlow: l.FloatOr("rope.scaling.yarn_beta_slow", 1),
	}}
	if r.Dims%2 != 0 || r.Dims > headDim {
		l.fault("metadata %s is %d: want an even number up to the head dimension, %d", l.key("rope.dimension_count"), r.Dims, headDim)
	}
	l.positive("rope.freq_base", r.Base)
	l.positive("rope.scaling.attn_factor", r.Attn)
	l.scale(&r.RoPE)
	if _, ok := l.file.Tensor("rope_freqs.weight"); ok {
		all := *l
		all.prefix = ""
		r.Factors = all.vector("rope_freqs.weight", r.Dims/2)
	}
	return r
}

func (l *Loader) positive(name string, x float32) {
	if !(x > 0) {
		l.fault("metadata %s is %v: want a positive number", l.key(name), x)
	}
}

// scale sets how positions beyond the context of training are treated. A factor of 0 means none, as
// in llama.cpp.
func (l *Loader) scale(r *ggml.RoPE) {
	factorName := "rope.scaling.factor"
	factor, oldFactor := l.FloatOr(factorName, 0), l.FloatOr("rope.scale_linear", 0)
	if _, there := l.file.Value(l.key(factorName)); !there {
		factorName, factor = "rope.scale_linear", oldFactor
	}
	if factor == 0 {
		factor = 1
	}
	logMultiplier := l.FloatOr("rope.scaling.yarn_log_multiplier", 0)
	l.positive(factorName, factor)
	switch scaling := l.StringOr("rope.scaling.type", "linear"); scaling {
	case "none":
	case "linear":
		r.Scale = 1 / factor
	case "yarn":
		l.Check(factor >= 1, "metadata %s is %v: want at least 1 for YaRN", l.key(factorName), factor)
		l.Check(r.Base > 1, "metadata %s is %v: want more than 1 for YaRN", l.key("rope.freq_base"), r.Base)
		l.Check(logMultiplier >= 0, "metadata %s is %v: want a number that is not negative", l.key("rope.scaling.yarn_log_multiplier"), logMultiplier)
		l.positive("rope.scaling.yarn_beta_fast", r.BetaFast)
		l.positive("rope.scaling.yarn_beta_slow", r.BetaSlow)
		r.Scale, r.Ext = 1/factor, 1
		r.Attn *= yarnAttention(float64(factor), float64(logMultiplier))
	default:
		l.fault("metadata %s is %q, which is not supported: want none, linear or yarn", l.key("rope.scaling.type"), scaling)
	}
}

// yarnAttention returns what ggml multiplies rotated queries and keys by, besides its own 1 + 0.1
// ln factor: nothing, unless the file has a multiplier of the logarithm (mscale_all_dim of
// transformers' DeepSeek and Mistral models), which takes the place of ggml's 0.1.
func yarnAttention(factor, logMultiplier float64) float32 {
	return float32(1 / (1 + 0.1*logMultiplier*math.Log(factor)))
}
