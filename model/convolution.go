package model

import "github.com/seed4d217819/ebb/ggml"

// Convolution is a causal convolution of each channel over the last tokens, as recurrent layers have it
// before their memory (Gu and Dao, 2023). Its state is the inputs of the last kernel-1 tokens, zeros at
// first.
type Convolution struct {
	Weight *ggml.Tensor // [kernel, channels] f32
	Bias   *ggml.Tensor // [channels] or nil
}

// Convolution returns the weights name.weight [kernel, channels], and name.bias [channels] if there is
// one.
func (l *Loader) Convolution(name string, kernel, channels int) Convolution {
	c := Convolution{Weight: l.floats(name+".weight", kernel, channels)}
	if l.Has(name + ".bias") {
		c.Bias = l.Vector(name+".bias", channels)
	}
	return c
}

// Kernel returns how many tokens a convolution spans, which must be in the metadata.
func (l *Loader) Kernel(name string) int {
	n := l.Int(name)
	l.Check(n >= 2 && n <= maxKernel, "metadata %s is %d: want 2 to %d", l.key(name), n, maxKernel)
	return n
}

// Forward convolves x [channels, tokens, sequences] after the inputs of the tokens before it [kernel-1 ×
// channels, sequences]: y [channels, tokens, sequences]. inputs are those after the last token, after
// the one before it, and so on, as many as keep says: [kernel-1, channels, sequences] each.
func (c Convolution) Forward(g *ggml.Graph, before, x *ggml.Tensor, keep int) (y *ggml.Tensor, inputs []*ggml.Tensor) {
	n, channels, tokens, seqs := c.Weight.Ne(0)-1, x.Ne(0), x.Ne(1), x.Ne(2)
	before = g.Reshape3D(before, n, channels, seqs)
	all := g.Concat(before, g.Permute(x, 1, 0, 2, 3), 0) // [kernel-1 + tokens, channels, sequences]
	for back := range int64(keep) {
		inputs = append(inputs, g.View3D(all, n, channels, seqs, all.Nb(1), all.Nb(2), (tokens-back)*all.Nb(0)))
	}
	y = g.SSMConv(all, c.Weight)
	if c.Bias != nil {
		y = g.Add(y, c.Bias)
	}
	return y, inputs
}
