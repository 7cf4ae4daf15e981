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
}

// channels returns how many channels the convolution has: queries, keys and values of all heads.
func (s DeltaShape) channels() int { return s.Size * (2*s.KeyHeads + s.Heads) }

// State returns what a layer carries of a sequence.
func (s DeltaShape) State() State {
	return State{Memory: s.Size * s.Size * s.Heads, Inputs: (s.Kernel - 1) * s.channels()}
}

// DeltaShape returns the shape that a file describes, with the names that its metadata has from state
// space models.
func (l *Loader) DeltaShape() DeltaShape {
	s := DeltaShape{
		Size: l.Int("ssm.state_size"), KeyHeads: l.Int("ssm.group_count"), Heads: l.Int("ssm.time_step_rank"), Kernel: l.Int("ssm.conv_kernel"),
	}
	inner := l.Int("ssm.inner_size")
	l.Check(s.Heads%max(s.KeyHeads, 1) == 0, "%d heads of values are not a multiple of %d heads of keys", s.Heads, s.KeyHeads)
	l.Check(inner == s.Size*s.Heads, "metadata %s is %d: want %d, the %d values of each of %d heads", l.key("ssm.inner_size"), inner, s.Size*s.Heads, s.Size, s.Heads)
	l.Check(s.Kernel >= 2 && s.Kernel <= maxKernel, "metadata %s is %d: want 2 to %d", l.key("ssm.conv_kernel"), s.Kernel, maxKernel)
	l.Check(s.Size <= maxStateSize, "metadata %s is %d: want at most %d", l.key("ssm.state_size"), s.Size, maxStateSize)
	return s
}

// Bounds of recurrent layers: far above those of all models, and low enough that no product overflows.
const (
	maxKernel    = 64
	maxStateSize = 4096
)

// DeltaNet is a gated delta net (Yang et al., 2024): each head keeps a matrix that maps keys to values,
// which fades by a factor, and into which each token writes the difference between its value and the one
// that the matrix has for its key. Queries, keys and values go through a convolution first.
type DeltaNet struct {
	DeltaShape
	QueryKeyValue Linear       // [hidden, channels]
	Gate          Linear       // [hidden, size × heads]
	Alpha, Beta   Linear       // [hidden, heads]: how fast the memory fades, and how much is written
	Convolution   Convolution  // [kernel, channels]
	TimeStep      *ggml.Tensor // [heads] added to alpha
	Decay         *ggml.Tensor // [heads] times alpha, negative
	Norm          RMSNorm      // [size]
	Out           Linear       // [size × heads, hidden]
	Eps           float32      // of the norms of queries and keys
}

// DeltaNet returns the weights of a layer: attn_qkv, attn_gate, ssm_alpha, ssm_beta, ssm_conv1d,
// ssm_dt.bias, ssm_a, ssm_norm and ssm_out.
func (l *Loader) DeltaNet(s DeltaShape, hidden int, eps float32) DeltaNet {
	return DeltaNet{
		DeltaShape:    s,
		QueryKeyValue: l.Linear("attn_qkv", hidden, s.channels()),
		Gate:          l.Linear("attn_gate", hidden, s.Size*s.Heads),
		Alpha:         l.Linear("ssm_alpha", hidden, s.Heads),
		Beta:          l.Linear("ssm_beta", hidden, s.Heads),
		Convolution:   l.Convolution("ssm_conv1d", s.Kernel, s.channels()),
		TimeStep:      l.Vector("ssm_dt.bias", s.Heads),
		Decay:         l.Vector("ssm_a", s.Heads),
		Norm:          l.RMSNorm("ssm_norm", s.Size, eps),
		Out:           l.Linear("ssm_out", s.Size*s.Heads, hidden),
		Eps:           eps,
	}
}

// Forward maps x [hidden, tokens] to the same shape.
func (d DeltaNet) Forward(g *ggml.Graph, x *ggml.Tensor, recur Recur) *ggml.Tensor {
	qkv, z := d.QueryKeyValue.Forward(g, x), d.Gate.Forward(g, x)
	beta := g.Sigmoid(d.Beta.Forward(g, x))                                       // [heads, tokens]
	decay := g.Mul(g.Softplus(g.Add(d.Alpha.Forward(g, x), d.TimeStep)), d.Decay) // [heads, tokens]
	y := recur([]*ggml.Tensor{qkv, decay, beta}, d.mix(g))                        // [size × heads, tokens]
	size, heads, tokens := int64(d.Size), int64(d.Heads), x.Ne(1)
	y = d.Norm.Forward(g, g.Reshape3D(y, size, heads, tokens))
	y = g.SwiGLU(g.Reshape3D(z, size, heads, tokens), y) // silu(z) × y
	return d.Out.Forward(g, g.Reshape2D(y, size*heads, tokens))
}

// mix computes the recurrence.
func (d DeltaNet) mix(g *ggml.Graph) Mix {
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
		net := g.GatedDeltaNet(of(unit, 0, keyHeads), of(unit, keyHeads, keyHeads), of(u, 2*keyHeads, heads),
			each(inputs[1]), each(inputs[2]), g.Reshape4D(from.Memory, size, size, heads, seqs), keep)
		for back := range keep {
			to = append(to, States{Memory: net.State(g, back), Inputs: last[back]})
		}
		return net.Output(g), to
	}
}
