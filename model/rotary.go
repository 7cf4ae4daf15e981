package model

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// Rotary is rotary position embedding (Su et al., 2021), for contexts longer than the one of
// training with positions that are divided by a factor (Chen et al., 2023), with frequencies that
// YaRN interpolates (Peng et al., 2023), or with factors that were searched for (LongRoPE: Ding et
// al., 2024).
type Rotary struct {
	ggml.RoPE
	Factors     *ggml.Tensor // [dims/2] that frequencies are divided by, or nil
	LongFactors *ggml.Tensor // that take their place in contexts of more than OrigContext tokens, or nil
}

// InContext returns the embedding for contexts of some tokens.
func (r Rotary) InContext(tokens int) Rotary {
	if r.LongFactors != nil && tokens > r.OrigContext {
		r.Factors = r.LongFactors
	}
	return r
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
	r := l.rotary(mode, headDim)
	l.scale(&r.RoPE)
	if _, ok := l.file.Tensor("rope_freqs.weight"); ok {
		r.Factors = l.factors("rope_freqs.weight", r.Dims/2)
	}
	return r
}

// WindowedRotary is Rotary for layers with a window, in models whose other layers encode positions of
// long contexts (Gemma 3: Gemma Team, 2025): with rope.freq_base_swa (10000 by default), in
// rope.dimension_count_swa dimensions (all by default), and without scaling or factors.
func (l *Loader) WindowedRotary(mode, headDim int) Rotary {
	r := Rotary{RoPE: ggml.RoPE{
		Dims: l.rotated("rope.dimension_count_swa", headDim), Mode: mode,
		Base: l.FloatOr("rope.freq_base_swa", 10000), Scale: 1, Attn: 1,
	}}
	l.positive("rope.freq_base_swa", r.Base)
	return r
}

// LongRotary is Rotary for architectures whose models may have LongRoPE's factors:
// rope_factors_short.weight, and rope_factors_long.weight for longer contexts. The model must be a
// [ByContext].
func (l *Loader) LongRotary(mode, headDim int) Rotary {
	const short, long = "rope_factors_short.weight", "rope_factors_long.weight"
	_, isShort := l.file.Tensor(short)
	_, isLong := l.file.Tensor(long)
	if kind := l.StringOr("rope.scaling.type", ""); kind != "longrope" && !isShort && !isLong {
		return l.Rotary(mode, headDim)
	} else if kind == "yarn" {
		l.fault("metadata %s is %q, and the file has %s: want one of both", l.key("rope.scaling.type"), kind, long)
	}
	factor := l.FactorOr("rope.scaling.factor", 1)
	l.Check(factor == 1, "metadata %s is %v, which is not supported beside factors of each frequency", l.key("rope.scaling.factor"), factor)
	r := l.rotary(mode, headDim)
	r.Factors, r.LongFactors = l.factors(short, r.Dims/2), l.factors(long, r.Dims/2)
	return r
}

// factors returns a tensor that all layers share, on the device of this loader's layer.
func (l *Loader) factors(name string, n int) *ggml.Tensor {
	all := *l
	all.prefix = ""
	return all.Vector(name, n)
}

// rotary returns the embedding without scaling.
func (l *Loader) rotary(mode, headDim int) Rotary {
	context := l.IntOr("context_length", defaultContext)
	r := Rotary{RoPE: ggml.RoPE{
		Dims: l.rotated("rope.dimension_count", headDim), Mode: mode,
		OrigContext: l.IntOr("rope.scaling.original_context_length", context),
		Base:        l.FloatOr("rope.freq_base", 10000), Scale: 1,
		Attn:     l.FloatOr("rope.scaling.attn_factor", 1),
		BetaFast: l.FloatOr("rope.scaling.yarn_beta_fast", 32), BetaSlow: l.FloatOr("rope.scaling.yarn_beta_slow", 1),
	}}
	l.positive("rope.freq_base", r.Base)
	l.positive("rope.scaling.attn_factor", r.Attn)
	return r
}

// rotated returns in how many dimensions of a head positions are encoded: all where the file does not
// say.
func (l *Loader) rotated(name string, headDim int) int {
	dims := l.IntOr(name, headDim)
	if dims%2 != 0 || dims > headDim {
		l.fault("metadata %s is %d: want an even number up to the head dimension, %d", l.key(name), dims, headDim)
	}
	return dims
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
		l.fault("metadata %s is %q, which is not supported here: want none, linear or yarn", l.key("rope.scaling.type"), scaling)
	}
}

// yarnAttention returns what ggml multiplies rotated queries and keys by, besides its own 1 + 0.1
// ln factor: nothing, unless the file has a multiplier of the logarithm (mscale_all_dim of
// transformers' DeepSeek and Mistral models), which takes the place of ggml's 0.1.
func yarnAttention(factor, logMultiplier float64) float32 {
	return float32(1 / (1 + 0.1*logMultiplier*math.Log(factor)))
}
