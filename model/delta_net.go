package model

import (
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// DeltaShape is the shape of a gated delta net.
type DeltaShape struct {
	Size     int // of a head's key and value
	KeyHeads int
	Heads    int // of values: a multiple of the key heads
	Kernel   int // tokens that the convolution spans

	// Grouped says that heads of values which use the same key head stand together, and those of the
	// next one behind them. Otherwise head h uses key head h modulo their number.
	Grouped bool
}

// Channels returns how many channels the convolution has: queries, keys and values of all heads.
func (s DeltaShape) Channels() int { return s.Size * (2*s.KeyHeads + s.Heads) }

// State returns what a layer carries of a sequence.
func (s DeltaShape) State() State {
	return State{Memory: s.Size * s.Size * s.Heads, Inputs: (s.Kernel - 1) * s.Channels()}
}

// DeltaShape returns the shape that a file describes, with the names that its metadata has from state
// space models.
func (l *Loader) DeltaShape() DeltaShape {
	s := DeltaShape{
		Size: l.Int("ssm.state_size"), KeyHeads: l.Int("ssm.group_count"), Heads: l.Int("ssm.time_step_rank"), Kernel: l.Kernel("ssm.conv_kernel"),
	}
	inner := l.Int("ssm.inner_size")
	l.Check(s.Heads%max(s.KeyHeads, 1) == 0, "%d heads of values are not a multiple of %d heads of keys", s.Heads, s.KeyHeads)
	l.Check(inner == s.Size*s.Heads, "metadata %s is %d: want %d, the %d values of each of %d heads", l.key("ssm.inner_size"), inner, s.Size*s.Heads, s.Size, s.Heads)
	l.Check(s.Size <= maxStateSize, "metadata %s is %d: want at most %d", l.key("ssm.state_size"), s.Size, maxStateSize)
	return s
}

// Bounds of recurrent layers: far above those of all models, and low enough that no product overflows.
const (
	maxKernel    = 64
	maxStateSize = 4096
)

// DeltaNet is a gated delta net (Yang et al., 2024) with its projections: queries, keys and values, and
// what gates the result, are matrices of their own, as are how fast the memory fades and how much is
// written.
type DeltaNet struct {
	DeltaRule
	QueryKeyValue Linear // [hidden, channels]
	Gate          Linear // [hidden, size × heads]
	Alpha, Beta   Linear // [hidden, heads]
}

// DeltaNet returns the weights of a layer: attn_qkv, attn_gate, ssm_alpha and ssm_beta, and those of
// [Loader.DeltaRule].
func (l *Loader) DeltaNet(s DeltaShape, hidden int, eps float32) DeltaNet {
	return DeltaNet{
		DeltaRule:     l.DeltaRule(s, hidden, eps),
		QueryKeyValue: l.Linear("attn_qkv", hidden, s.Channels()),
		Gate:          l.Linear("attn_gate", hidden, s.Size*s.Heads),
		Alpha:         l.Linear("ssm_alpha", hidden, s.Heads),
		Beta:          l.Linear("ssm_beta", hidden, s.Heads),
	}
}

// Forward maps x [hidden, tokens] to the same shape.
func (d DeltaNet) Forward(g *ggml.Graph, x *ggml.Tensor, recur Recur) *ggml.Tensor {
	all := ForwardAll(g, x, d.QueryKeyValue, d.Gate, d.Alpha, d.Beta)
	return d.DeltaRule.Forward(g, all[0], all[1], all[2], all[3], recur)
}

// DeltaRule is a gated delta net behind its projections: each head keeps a matrix that maps keys to
// values, which fades by a factor, and into which each token writes the difference between its value and
// the one that the matrix has for its key. Queries, keys and values go through a convolution first.
type DeltaRule struct {
	DeltaShape
	Convolution Convolution  // [kernel, channels]
	TimeStep    *ggml.Tensor // [heads] added to alpha
	Decay       *ggml.Tensor // [heads] times alpha, negative
	Norm        RMSNorm      // [size]
	Out         Linear       // [size × heads, hidden]
	Eps         float32      // of the norms of queries and keys
}

// DeltaRule returns the weights ssm_conv1d, ssm_dt.bias, ssm_a, ssm_norm and ssm_out of a layer.
func (l *Loader) DeltaRule(s DeltaShape, hidden int, eps float32) DeltaRule {
	return DeltaRule{
		DeltaShape:  s,
		Convolution: l.Convolution("ssm_conv1d", s.Kernel, s.Channels()),
		TimeStep:    l.Vector("ssm_dt.bias", s.Heads),
		Decay:       l.Vector("ssm_a", s.Heads),
		Norm:        l.RMSNorm("ssm_norm", s.Size, eps),
		Out:         l.Linear("ssm_out", s.Size*s.Heads, hidden),
		Eps:         eps,
	}
}

// Forward takes tokens through the rule: qkv [channels, tokens] are their queries, keys and values, z
// [size × heads, tokens] gates the result, alpha [heads, tokens] says how fast the memory fades, and beta
// [heads, tokens] how much is written. The result is [hidden, tokens].
func (d DeltaRule) Forward(g *ggml.Graph, qkv, z, alpha, beta *ggml.Tensor, recur Recur) *ggml.Tensor {
	rate := g.Sigmoid(beta)
	decay := g.Mul(g.Softplus(g.Add(alpha, d.TimeStep)), d.Decay) // [heads, tokens]
	y := recur([]*ggml.Tensor{qkv, decay, rate}, d.mix(g))        // [size × heads, tokens]
	size, heads, tokens := int64(d.Size), int64(d.Heads), qkv.Ne(1)
	y = d.Norm.Forward(g, g.Reshape3D(y, size, heads, tokens))
	y = g.SwiGLU(g.Reshape3D(z, size, heads, tokens), y) // silu(z) × y
	return d.Out.Forward(g, g.Reshape2D(y, size*heads, tokens))
}

// mix computes the recurrence.
func (d DeltaRule) mix(g *ggml.Graph) Mix {
	return func(from States, inputs []*ggml.Tensor, keep int) (y *ggml.Tensor, to []States) {
		qkv, tokens, seqs := inputs[0], inputs[0].Ne(1), inputs[0].Ne(2)
		u, last := d.Convolution.Forward(g, from.Inputs, qkv, keep)
		u = g.SiLU(u) // [channels, tokens, sequences]
		size, keyHeads, heads := int64(d.Size), int64(d.KeyHeads), int64(d.Heads)
		of := func(t *ggml.Tensor, first, n int64) *ggml.Tensor { // some heads of t, whose tokens are in their order
			token := t.Ne(0) * t.Ne(1) * t.Ne(2) * t.Ne(3) / (tokens * seqs) * 4
			return g.View4D(t, [4]int64{size, n, tokens, seqs}, [3]int64{size * 4, token, token * tokens}, first*size*4)
		}
		unit := g.RMSNorm(of(u, 0, 2*keyHeads), d.Eps/float32(d.Size)) // of length 1 once it is scaled
		unit = g.Scale(unit, float32(1/math.Sqrt(float64(d.Size))))
		each := func(t *ggml.Tensor) *ggml.Tensor { return g.Reshape4D(t, 1, heads, tokens, seqs) }
		keys := func(first int64) *ggml.Tensor { // key heads of unit, one for each group of heads or for each head
			if !d.Grouped {
				return of(unit, first, keyHeads)
			}
			row, all := size*4, tokens*seqs
			one := g.View4D(unit, [4]int64{size, 1, keyHeads, all}, [3]int64{row, row, unit.Nb(2)}, first*row)
			return g.Reshape4D(g.Repeat(one, [4]int64{size, heads / keyHeads, keyHeads, all}), size, heads, tokens, seqs)
		}
		net := g.GatedDeltaNet(keys(0), keys(keyHeads), of(u, 2*keyHeads, heads),
			each(inputs[1]), each(inputs[2]), g.Reshape4D(from.Memory, size, size, heads, seqs), keep)
		for back := range keep {
			to = append(to, States{Memory: net.State(g, back), Inputs: last[back]})
		}
		return net.Output(g), to
	}
}
