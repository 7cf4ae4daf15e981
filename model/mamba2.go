package model

import "github.com/seed4d217819/ebb/ggml"

// Mamba2Shape is the shape of a Mamba-2 layer.
type Mamba2Shape struct {
	Size   int // of a state's vector
	Inner  int // values of all heads
	Heads  int // the inner values are a multiple
	Groups int // of heads with the same inputs and outputs of their states
	Kernel int // tokens that the convolution spans
}

// channels returns how many channels the convolution has: values, and inputs and outputs of states.
func (s Mamba2Shape) channels() int { return s.Inner + 2*s.Groups*s.Size }

// State returns what a layer carries of a sequence.
func (s Mamba2Shape) State() State {
	return State{Memory: s.Size * s.Inner, Inputs: (s.Kernel - 1) * s.channels()}
}

// Mamba2Shape returns the shape that a file describes.
func (l *Loader) Mamba2Shape() Mamba2Shape {
	s := Mamba2Shape{
		Size: l.Int("ssm.state_size"), Inner: l.Int("ssm.inner_size"), Heads: l.Int("ssm.time_step_rank"), Groups: l.Int("ssm.group_count"),
		Kernel: l.Kernel("ssm.conv_kernel"),
	}
	l.Check(s.Inner%max(s.Heads, 1) == 0, "metadata %s is %d: want a multiple of the %d heads", l.key("ssm.inner_size"), s.Inner, s.Heads)
	l.Check(s.Heads%max(s.Groups, 1) == 0, "metadata %s is %d: want a number that divides the %d heads", l.key("ssm.group_count"), s.Groups, s.Heads)
	l.Check(s.Size <= maxStateSize, "metadata %s is %d: want at most %d", l.key("ssm.state_size"), s.Size, maxStateSize)
	return s
}

// StateAttention is SomeAttention for models whose layers without attention are those of Mamba-2.
func (l *Loader) StateAttention(hidden, layers int) []Layer {
	all, state := l.SomeAttention(hidden, layers), l.Mamba2Shape().State()
	for i, a := range all {
		if a.KVHeads == 0 {
			all[i] = Layer{State: state}
		}
	}
	return all
}

// Mamba2 is a layer of Mamba-2 (Dao and Gu, 2024): the state of each head fades by a factor, and each
// token adds the product of its values and of an input vector to it; the result is the product of the
// state and an output vector. Values and both vectors go through a convolution first.
type Mamba2 struct {
	Mamba2Shape
	In          Stack        // [hidden, inner + channels + heads]: gates, what is convolved, time steps
	Convolution Convolution  // [kernel, channels]
	TimeStep    *ggml.Tensor // [heads] added to the time steps
	Decay       *ggml.Tensor // [1, heads] times the time steps, negative
	Skip        *ggml.Tensor // [1, heads]: how much of the values is added to the result
	Norm        RMSNorm      // [inner / groups, groups]: of each group
	Out         Linear       // [inner, hidden]
}

// Mamba2 returns the weights of a layer: ssm_in, ssm_conv1d, ssm_dt.bias, ssm_a, ssm_d, ssm_norm and
// ssm_out.
func (l *Loader) Mamba2(s Mamba2Shape, hidden int, eps float32) Mamba2 {
	return Mamba2{
		Mamba2Shape: s,
		In:          l.Merged("ssm_in", hidden, s.Inner, s.channels(), s.Heads),
		Convolution: l.Convolution("ssm_conv1d", s.Kernel, s.channels()),
		TimeStep:    l.Vector("ssm_dt.bias", s.Heads),
		Decay:       l.floats("ssm_a", 1, s.Heads),
		Skip:        l.floats("ssm_d", 1, s.Heads),
		Norm:        RMSNorm{Weight: l.floats("ssm_norm.weight", s.Inner/max(s.Groups, 1), s.Groups), Eps: eps},
		Out:         l.Linear("ssm_out", s.Inner, hidden),
	}
}

// Forward maps x [hidden, tokens] to the same shape.
func (m Mamba2) Forward(g *ggml.Graph, x *ggml.Tensor, recur Recur) *ggml.Tensor {
	in := m.In.Forward(g, x)
	step := g.Add(g.Cont(in[2]), m.TimeStep)          // [heads, tokens]
	y := recur([]*ggml.Tensor{in[1], step}, m.mix(g)) // [inner, tokens]
	y = g.SwiGLU(in[0], y)                            // silu(gate) × y
	inner, groups, tokens := int64(m.Inner), int64(m.Groups), x.Ne(1)
	y = m.Norm.Forward(g, g.Reshape3D(y, inner/groups, groups, tokens))
	return m.Out.Forward(g, g.Reshape2D(y, inner, tokens))
}

// mix computes the recurrence.
func (m Mamba2) mix(g *ggml.Graph) Mix {
	return func(from States, inputs []*ggml.Tensor, keep int) (y *ggml.Tensor, to []States) {
		tokens, seqs := inputs[0].Ne(1), inputs[0].Ne(2)
		u, last := m.Convolution.Forward(g, from.Inputs, inputs[0], keep)
		u = g.SiLU(u) // [channels, tokens, sequences]
		size, heads, groups, dim := int64(m.Size), int64(m.Heads), int64(m.Groups), int64(m.Inner/m.Heads)
		of := func(first, rows, n int64) *ggml.Tensor { // n rows of each token, from one of its values on
			return g.View4D(u, [4]int64{rows, n, tokens, seqs}, [3]int64{rows * 4, u.Nb(1), u.Nb(2)}, first*4)
		}
		x := of(0, dim, heads)
		scan := g.SSMScan(g.Reshape4D(from.Memory, size, dim, heads, seqs), x, inputs[1], m.Decay,
			of(dim*heads, size, groups), of(dim*heads+size*groups, size, groups), keep)
		for back := range keep {
			to = append(to, States{Memory: scan.State(g, back), Inputs: last[back]})
		}
		y = g.Add(scan.Output(g), g.Mul(x, m.Skip)) // [dim, heads, tokens, sequences]
		return g.Reshape2D(y, dim*heads, tokens*seqs), to
	}
}
