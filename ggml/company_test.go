package ggml

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// companyTokens is how many tokens the tests of company have.
const companyTokens = 70

// company is some of companyTokens tokens, for which an operation is computed together.
type company struct {
	*rig
	g       *Graph
	tokens  []int
	inputs  int
	weights map[string][]byte
}

func (c *company) n() int64 { return int64(len(c.tokens)) }

// floats returns f32 [ne..., tokens], other numbers with each call.
func (c *company) floats(ne ...int64) *Tensor {
	width := 1
	for _, n := range ne {
		width *= int(n)
	}
	c.inputs++
	all := random(uint64(c.inputs), width*companyTokens)
	var s []float32
	for _, t := range c.tokens {
		s = append(s, all[t*width:][:width]...)
	}
	return c.rig.floats(s, append(slices.Clone(ne), c.n())...)
}

// matrix returns weights, the same for all tokens.
func (c *company) matrix(t Type, ne ...int64) *Tensor {
	key := fmt.Sprint(t, ne)
	if c.weights[key] == nil {
		w, _ := c.rig.weights(t, ne...)
		c.weights[key] = make([]byte, w.Bytes())
		w.Get(c.weights[key], 0)
		return w
	}
	w := c.tensor(t, ne...)
	w.Set(c.weights[key], 0)
	return w
}

// positions returns I32 [tokens].
func (c *company) positions() *Tensor {
	var p []int32
	for _, t := range c.tokens {
		p = append(p, int32(t*37))
	}
	return c.int32s(p...)
}

// chosen returns I32 [4, tokens], of 8 experts.
func (c *company) chosen() *Tensor {
	const used, most = 4, 8
	x := c.tensor(I32, used, c.n())
	var s []int32
	for _, t := range c.tokens {
		for i := range used {
			s = append(s, int32((t*7+i*3)%most))
		}
	}
	SetSlice(x, s, 0)
	return x
}

// companies are groups of tokens: all, and smaller ones.
func companies() (all [][]int) {
	for _, n := range []int{companyTokens, 1, 2, 3, 5, 16, 17, 64} {
		some := make([]int, n)
		for i := range some {
			some[i] = (5 + i) % companyTokens
		}
		all = append(all, some)
	}
	return append(all, []int{0}, []int{companyTokens - 1})
}

// differs returns by how much a token's result differs between companies at most, in units of the
// largest number.
func differs(t *testing.T, b *Backend, build func(c *company) *Tensor) (worst float64) {
	t.Helper()
	weights := map[string][]byte{}
	var want [companyTokens][]float32
	scale := 0.0
	for _, tokens := range companies() {
		r := newRig(t, b)
		got := r.compute(func(g *Graph) *Tensor {
			y := build(&company{rig: r, g: g, tokens: tokens, weights: weights})
			if y.Type() == I32 {
				y = g.Cast(y, F32)
			}
			return g.Cont(y)
		})
		width := len(got) / len(tokens)
		for i, token := range tokens {
			row := got[i*width:][:width]
			if want[token] == nil {
				want[token] = row
			}
			for j, x := range row {
				scale = max(scale, math.Abs(float64(x)))
				if y := want[token][j]; math.Float32bits(x) != math.Float32bits(y) {
					worst = max(worst, math.Abs(float64(x)-float64(y)), math.SmallestNonzeroFloat32)
				}
			}
		}
	}
	return worst / scale
}

// What a layer computes for a token are the same bits whatever other tokens are computed with it, and
// on any number of threads. ggml's products of matrices of some types are not: they have other sums for
// one token than for several.
func TestATokensBitsDoNotDependOnTheOthers(t *testing.T) {
	rope := RoPE{Dims: 16, Mode: ModeNeoX, Base: 10000, Scale: 1, Attn: 1, BetaFast: 32, BetaSlow: 1}
	tests := []struct {
		name  string
		build func(c *company) *Tensor
	}{
		{"Add", func(c *company) *Tensor { return c.g.Add(c.floats(100), c.floats(100)) }},
		{"Add a row", func(c *company) *Tensor { return c.g.Add(c.floats(100), c.matrix(F32, 100)) }},
		{"Mul by a number a token", func(c *company) *Tensor { return c.g.Mul(c.floats(100), c.floats(1)) }},
		{"Scale", func(c *company) *Tensor { return c.g.Scale(c.floats(101), 0.3) }},
		{"ScaleBias", func(c *company) *Tensor { return c.g.ScaleBias(c.floats(101), 0.3, 0.7) }},
		{"Div", func(c *company) *Tensor { return c.g.Div(c.floats(7), c.floats(1)) }},
		{"Clamp", func(c *company) *Tensor { return c.g.Clamp(c.floats(7), 0, 1) }},
		{"SumRows", func(c *company) *Tensor { return c.g.SumRows(c.floats(101)) }},
		{"RMSNorm", func(c *company) *Tensor { return c.g.Mul(c.g.RMSNorm(c.floats(101), 1e-5), c.matrix(F32, 101)) }},
		{"RMSNorm of heads", func(c *company) *Tensor { return c.g.RMSNorm(c.floats(24, 3), 1e-5) }},
		{"SiLU", func(c *company) *Tensor { return c.g.SiLU(c.floats(101)) }},
		{"SiLU of a number a token", func(c *company) *Tensor { return c.g.SiLU(c.floats(1)) }},
		{"GELU", func(c *company) *Tensor { return c.g.GELU(c.floats(101)) }},
		{"Sigmoid", func(c *company) *Tensor { return c.g.Sigmoid(c.floats(101)) }},
		{"Sigmoid of a number a token", func(c *company) *Tensor { return c.g.Sigmoid(c.floats(1)) }},
		{"Tanh", func(c *company) *Tensor { return c.g.Tanh(c.floats(101)) }},
		{"Softplus", func(c *company) *Tensor { return c.g.Softplus(c.floats(101)) }},
		{"Log", func(c *company) *Tensor { return c.g.Log(c.g.ScaleBias(c.g.Sigmoid(c.floats(101)), 1, 1)) }},
		{"SquaredReLU", func(c *company) *Tensor { return c.g.SquaredReLU(c.floats(101)) }},
		{"SwiGLU", func(c *company) *Tensor { return c.g.SwiGLU(c.floats(101), c.floats(101)) }},
		{"SwiGLU of heads", func(c *company) *Tensor { return c.g.SwiGLU(c.floats(24, 3), c.floats(24, 3)) }},
		{"SwiGLUOAI", func(c *company) *Tensor { return c.g.SwiGLUOAI(c.floats(101), c.floats(101), 1.7, 7) }},
		{"GeGLU", func(c *company) *Tensor { return c.g.GeGLU(c.floats(101), c.floats(101)) }},
		{"SoftMax", func(c *company) *Tensor { return c.g.SoftMax(c.floats(60), nil, 1) }},
		{"TopK", func(c *company) *Tensor { return c.g.Cont(c.g.TopK(c.floats(64), 6)) }},
		{"RoPE", func(c *company) *Tensor { return c.g.RoPE(c.floats(32, 3), c.positions(), nil, rope) }},
		{"Cast to F16", func(c *company) *Tensor { return c.g.Cast(c.g.Cast(c.floats(101), F16), F32) }},
		{"Cast to BF16", func(c *company) *Tensor { return c.g.Cast(c.g.Cast(c.floats(101), BF16), F32) }},
		{"Cast to Q8_0", func(c *company) *Tensor { return c.g.Cast(c.g.Cast(c.floats(64), Q8_0), F32) }},
		{"Cast to Q4_0", func(c *company) *Tensor { return c.g.Cast(c.g.Cast(c.floats(64), Q4_0), F32) }},
		{"AddID", func(c *company) *Tensor { return c.g.AddID(c.floats(33, 4), c.matrix(F32, 33, 8), c.chosen()) }},
		{"MulMat by a vector", func(c *company) *Tensor { return c.g.MulMat(c.matrix(F32, 64), c.floats(64)) }},
		{"MulMatID f32", func(c *company) *Tensor {
			return c.g.MulMatID(c.matrix(F32, 256, 32, 8), c.floats(256, 1), c.chosen())
		}},
		{"MulMatID q4_K", func(c *company) *Tensor {
			return c.g.MulMatID(c.matrix(Q4_K, 256, 32, 8), c.floats(256, 1), c.chosen())
		}},
		{"MulMatID mxfp4", func(c *company) *Tensor {
			return c.g.MulMatID(c.matrix(MXFP4, 256, 32, 8), c.floats(256, 1), c.chosen())
		}},
	}
	one, two := openCPUWith(t, Options{Threads: 1}), openCPUWith(t, Options{Threads: 2})
	for _, c := range tests {
		for threads, b := range map[int]*Backend{1: one, 2: two} {
			if x := differs(t, b, c.build); x != 0 {
				t.Errorf("%s on %d threads differs by %g", c.name, threads, x)
			}
		}
	}
	// These are why ebb has products of its own (product.Products).
	for _, typ := range []Type{F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K, Q6_K, IQ4_NL} {
		x := differs(t, two, func(c *company) *Tensor { return c.g.MulMat(c.matrix(typ, 512, 96), c.floats(512)) })
		t.Logf("MulMat %v differs by %g", typ, x)
		if !(x < 1e-5) {
			t.Errorf("MulMat %v differs by %g", typ, x)
		}
	}
}

// A recurrence gives a sequence the same bits at once, token by token, and among others.
func TestARecurrencesBitsDoNotDependOnTheSplit(t *testing.T) {
	const size, heads, tokens, channels, kernel = 16, 4, 11, 40, 4
	ones := func(n int) []float32 { // negative, of about 1
		s := random(9, n)
		for i, v := range s {
			s[i] = -float32(math.Abs(float64(v)))
		}
		return s
	}
	// Each returns the outputs of some tokens of sequences, and the states behind them.
	type step func(r *rig, g *Graph, state *Tensor, first, n int, seqs []int) (y, to *Tensor)
	// of returns [ne..., n, sequences] of numbers a token.
	of := func(r *rig, seed uint64, first, n int, seqs []int, ne ...int64) *Tensor {
		width := 1
		for _, d := range ne {
			width *= int(d)
		}
		var s []float32
		for _, q := range seqs {
			all := random(seed+100*uint64(q), width*tokens)
			s = append(s, all[first*width:(first+n)*width]...)
		}
		return r.floats(s, append(slices.Clone(ne), int64(n), int64(len(seqs)))...)
	}
	steps := map[string]struct {
		state int // numbers of a sequence
		step
	}{
		"GatedDeltaNet": {size * size * heads, func(r *rig, g *Graph, state *Tensor, first, n int, seqs []int) (y, to *Tensor) {
			k := g.RMSNorm(of(r, 2, first, n, seqs, size, heads), 1e-6)
			decay := g.Scale(g.Sigmoid(of(r, 4, first, n, seqs, 1, heads)), -1)
			net := g.GatedDeltaNet(of(r, 1, first, n, seqs, size, heads), g.Scale(k, 0.25), of(r, 3, first, n, seqs, size, heads),
				decay, g.Sigmoid(of(r, 5, first, n, seqs, 1, heads)), g.Reshape4D(state, size, size, heads, int64(len(seqs))), 1)
			return net.Output(g), net.State(g, 0)
		}},
		"SSMScan": {size * size * heads, func(r *rig, g *Graph, state *Tensor, first, n int, seqs []int) (y, to *Tensor) {
			scan := g.SSMScan(g.Reshape4D(state, size, size, heads, int64(len(seqs))), of(r, 1, first, n, seqs, size, heads),
				of(r, 2, first, n, seqs, heads), r.floats(ones(heads), 1, heads), of(r, 3, first, n, seqs, size, 2), of(r, 4, first, n, seqs, size, 2), 1)
			return g.Cont(scan.Output(g)), scan.State(g, 0)
		}},
		"SSMConv": {(kernel - 1) * channels, func(r *rig, g *Graph, state *Tensor, first, n int, seqs []int) (y, to *Tensor) {
			before := g.Reshape3D(state, kernel-1, channels, int64(len(seqs)))
			all := g.Concat(before, g.Permute(of(r, 1, first, n, seqs, channels), 1, 0, 2, 3), 0)
			y = g.SSMConv(all, r.floats(random(7, kernel*channels), kernel, channels))
			return y, g.Cont(g.View3D(all, kernel-1, channels, int64(len(seqs)), all.Nb(1), all.Nb(2), int64(n)*all.Nb(0)))
		}},
	}
	for threads, b := range map[int]*Backend{1: openCPUWith(t, Options{Threads: 1}), 2: openCPUWith(t, Options{Threads: 2})} {
		for name, s := range steps {
			// run returns the outputs of sequence 1 among seqs, with its tokens in pieces.
			run := func(seqs []int, pieces ...int) (out []float32) {
				state := make([]float32, s.state*len(seqs))
				first := 0
				for _, n := range pieces {
					r := newRig(t, b)
					g := b.NewGraph(64)
					y, to := s.step(r, g, r.floats(state, int64(s.state), int64(len(seqs))), first, n, seqs)
					for _, x := range []*Tensor{y, to} {
						g.Output(x)
						g.Expand(x)
					}
					if _, err := r.scratch.Alloc(g); err != nil {
						t.Fatal(err)
					}
					if err := b.Compute(g); err != nil {
						t.Fatal(err)
					}
					got := make([]float32, y.Elements())
					y.Get(bytesOf(got), 0)
					to.Get(bytesOf(state), 0)
					g.Close()
					width := len(got) / len(seqs) // of a sequence
					at := slices.Index(seqs, 1)
					out = append(out, got[at*width:][:width]...)
					first += n
				}
				return out
			}
			want := run([]int{1}, slices.Repeat([]int{1}, tokens)...)
			for what, got := range map[string][]float32{
				"at once":            run([]int{1}, tokens),
				"in pieces":          run([]int{1}, 4, 2, 5),
				"beside two":         run([]int{0, 1, 2}, 1, 3, tokens-4),
				"beside two, by one": run([]int{2, 0, 1}, slices.Repeat([]int{1}, tokens)...),
			} {
				if !slices.EqualFunc(got, want, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) {
					t.Errorf("%s %s on %d threads: differs by %g", name, what, threads, distance(got, want))
				}
			}
		}
	}
}
