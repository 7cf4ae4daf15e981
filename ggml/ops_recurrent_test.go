package ggml

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// recurrence is the shape of a recurrence: states of size × dim for each head, which use keys or groups of
// their own in turn or together.
type recurrence struct {
	size, dim, heads, groups, tokens, seqs, keep int
}

func (s recurrence) String() string {
	return fmt.Sprintf("%dx%d,%d of %d heads,%d tokens,%d sequences,%d kept", s.size, s.dim, s.groups, s.heads, s.tokens, s.seqs, s.keep)
}

// refDeltaNet is the gated delta rule: the output, and the states as DeltaNet packs them.
func refDeltaNet(q, k, v, decay, beta, state []float32, s recurrence) []float32 {
	n := s.size
	out, kept := make([]float32, n*s.heads*s.tokens*s.seqs), make([]float32, n*n*s.heads*s.seqs*s.keep)
	for seq := range s.seqs {
		for h := range s.heads {
			m := make([]float64, n*n) // by value, then by key
			for i := range m {
				m[i] = float64(state[(seq*s.heads+h)*n*n+i])
			}
			for t := range s.tokens {
				at := seq*s.tokens + t
				key, query := k[(at*s.groups+h%s.groups)*n:][:n], q[(at*s.groups+h%s.groups)*n:][:n]
				fade, rate := math.Exp(float64(decay[at*s.heads+h])), float64(beta[at*s.heads+h])
				for i := range n {
					held := 0.0
					for j := range n {
						m[i*n+j] *= fade
						held += m[i*n+j] * float64(key[j])
					}
					written := rate * (float64(v[(at*s.heads+h)*n+i]) - held)
					y := 0.0
					for j := range n {
						m[i*n+j] += written * float64(key[j])
						y += m[i*n+j] * float64(query[j])
					}
					out[(at*s.heads+h)*n+i] = float32(y / math.Sqrt(float64(n)))
				}
				if back := s.tokens - 1 - t; back < s.keep {
					for i, x := range m {
						kept[((back*s.seqs+seq)*s.heads+h)*n*n+i] = float32(x)
					}
				}
			}
		}
	}
	return slices.Concat(out, kept)
}

// refScan is the recurrence of Mamba-2: the output, and the states as Scan packs them.
func refScan(state, x, dt, a, b, c []float32, s recurrence) []float32 {
	n := s.size * s.dim
	out, kept := make([]float32, s.dim*s.heads*s.tokens*s.seqs), make([]float32, n*s.heads*s.seqs*s.keep)
	for seq := range s.seqs {
		for h := range s.heads {
			m := make([]float64, n)
			for i := range m {
				m[i] = float64(state[(seq*s.heads+h)*n+i])
			}
			for t := range s.tokens {
				at := seq*s.tokens + t
				group := (at*s.groups + h/(s.heads/s.groups)) * s.size
				step := math.Log1p(math.Exp(float64(dt[at*s.heads+h])))
				for i := range s.dim {
					y := 0.0
					for j := range s.size {
						m[i*s.size+j] = m[i*s.size+j]*math.Exp(step*float64(a[h])) + step*float64(x[(at*s.heads+h)*s.dim+i])*float64(b[group+j])
						y += m[i*s.size+j] * float64(c[group+j])
					}
					out[(at*s.heads+h)*s.dim+i] = float32(y)
				}
				if back := s.tokens - 1 - t; back < s.keep {
					for i, v := range m {
						kept[((back*s.seqs+seq)*s.heads+h)*n+i] = float32(v)
					}
				}
			}
		}
	}
	return slices.Concat(out, kept)
}

// apart returns a view of numbers [n, m, tokens, seqs] whose tokens have gaps between them.
func (r *rig) apart(g *Graph, s []float32, n, m, tokens, seqs int) *Tensor {
	const gap = 5
	row := n * m
	var wide []float32
	for i := range tokens * seqs {
		wide = append(append(wide, s[i*row:(i+1)*row]...), make([]float32, gap)...)
	}
	x := r.floats(wide, int64(len(wide)))
	token := int64(row+gap) * 4
	return g.View4D(x, [4]int64{int64(n), int64(m), int64(tokens), int64(seqs)}, [3]int64{int64(n) * 4, token, token * int64(tokens)}, 0)
}

// together returns the output and all states, as the references have them.
func together(g *Graph, out *Tensor, state func(g *Graph, back int) *Tensor, s recurrence) *Tensor {
	flat := func(t *Tensor) *Tensor { return g.Reshape2D(g.Cont(t), t.Elements(), 1) }
	all := flat(out)
	for back := range s.keep {
		all = g.Concat(all, flat(state(g, back)), 0)
	}
	return all
}

// Of the shapes the first ones are those that every device has; the CPU has all.
func TestTheGatedDeltaRuleEqualsReference(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		for i, s := range []recurrence{
			{size: 16, heads: 4, groups: 2, tokens: 3, seqs: 2, keep: 2},
			{size: 32, heads: 3, groups: 3, tokens: 1, seqs: 3, keep: 1},
			{size: 1, heads: 1, groups: 1, tokens: 2, seqs: 1, keep: 2},
			{size: 3, heads: 6, groups: 2, tokens: 5, seqs: 3, keep: 4},
			{size: 64, heads: 2, groups: 1, tokens: 70, seqs: 1, keep: 1},
		} {
			if b.Device().Type() != CPU && i > 0 {
				break // each size is a shader of its own
			}
			t.Run(s.String(), func(t *testing.T) {
				r, rows := newRig(t, b), s.tokens*s.seqs
				q, k, v := refUnit(random(1, s.size*s.groups*rows), s.size), refUnit(random(2, s.size*s.groups*rows), s.size), random(3, s.size*s.heads*rows)
				decay := refMap(random(4, s.heads*rows), func(x float64) float64 { return -math.Exp(x) })
				beta := refMap(random(5, s.heads*rows), func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })
				state := random(6, s.size*s.size*s.heads*s.seqs)
				n, heads, tokens, seqs := int64(s.size), int64(s.heads), int64(s.tokens), int64(s.seqs)
				got := r.compute(func(g *Graph) *Tensor {
					net := g.GatedDeltaNet(r.apart(g, q, s.size, s.groups, s.tokens, s.seqs), r.apart(g, k, s.size, s.groups, s.tokens, s.seqs),
						r.apart(g, v, s.size, s.heads, s.tokens, s.seqs), r.floats(decay, 1, heads, tokens, seqs), r.floats(beta, 1, heads, tokens, seqs),
						r.floats(state, n, n, heads, seqs), s.keep)
					return together(g, net.Output(g), net.State, s)
				})
				if d, tol := distance(got, refDeltaNet(q, k, v, decay, beta, state, s)), tolerance(b); d > tol {
					t.Errorf("differs by %g, more than %g", d, tol)
				}
			})
		}
	})
}

// refUnit returns rows of n with length 1.
func refUnit(x []float32, n int) []float32 {
	y := refRMSNorm(x, n, 0)
	return refMap(y, func(v float64) float64 { return v / math.Sqrt(float64(n)) })
}

func TestTheScanOfMamba2EqualsReference(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		for i, s := range []recurrence{
			{size: 128, dim: 16, heads: 4, groups: 2, tokens: 3, seqs: 2, keep: 2},
			{size: 16, dim: 8, heads: 4, groups: 1, tokens: 1, seqs: 3, keep: 1},
			{size: 1, dim: 1, heads: 1, groups: 1, tokens: 2, seqs: 1, keep: 2},
			{size: 5, dim: 3, heads: 6, groups: 3, tokens: 5, seqs: 3, keep: 4},
			{size: 48, dim: 4, heads: 2, groups: 2, tokens: 70, seqs: 1, keep: 1},
		} {
			if b.Device().Type() != CPU && i > 0 {
				break // it has states of 128 and 256 only
			}
			t.Run(s.String(), func(t *testing.T) {
				r, rows := newRig(t, b), s.tokens*s.seqs
				x, dt, in, out := random(1, s.dim*s.heads*rows), random(2, s.heads*rows), random(3, s.size*s.groups*rows), random(4, s.size*s.groups*rows)
				a := refMap(random(5, s.heads), func(x float64) float64 { return -math.Exp(x) })
				state := random(6, s.size*s.dim*s.heads*s.seqs)
				heads, tokens, seqs := int64(s.heads), int64(s.tokens), int64(s.seqs)
				got := r.compute(func(g *Graph) *Tensor {
					scan := g.SSMScan(r.floats(state, int64(s.size), int64(s.dim), heads, seqs), r.apart(g, x, s.dim, s.heads, s.tokens, s.seqs),
						r.floats(dt, heads, tokens, seqs), r.floats(a, 1, heads),
						r.apart(g, in, s.size, s.groups, s.tokens, s.seqs), r.apart(g, out, s.size, s.groups, s.tokens, s.seqs), s.keep)
					return together(g, scan.Output(g), scan.State, s)
				})
				if d, tol := distance(got, refScan(state, x, dt, a, in, out, s)), max(tolerance(b), 2e-5); d > tol {
					t.Errorf("differs by %g, more than %g", d, tol)
				}
			})
		}
	})
}

func TestOperationsOfRecurrentLayersEqualReference(t *testing.T) {
	const kernel, channels, tokens, seqs = 3, 8, 4, 2
	x, w := random(1, (kernel-1+tokens)*channels*seqs), random(2, kernel*channels)
	var convolved []float32
	for seq := range seqs {
		for tok := range tokens {
			for ch := range channels {
				sum := 0.0
				for i := range kernel {
					sum += float64(w[ch*kernel+i]) * float64(x[(seq*channels+ch)*(kernel-1+tokens)+tok+i])
				}
				convolved = append(convolved, float32(sum))
			}
		}
	}
	a := random(3, 6*4)
	repeated := slices.Concat(a[:6], a[:6], a[6:12], a[6:12], a[12:18], a[12:18], a[18:], a[18:])
	tests := []struct {
		name  string
		build func(r *rig, g *Graph) *Tensor
		want  []float32
	}{
		{"SSMConv", func(r *rig, g *Graph) *Tensor {
			return g.SSMConv(r.floats(x, kernel-1+tokens, channels, seqs), r.floats(w, kernel, channels))
		}, convolved},
		{"SSMConv over two tokens", func(r *rig, g *Graph) *Tensor {
			return g.SSMConv(r.floats(x[:2*channels], 2, channels), r.floats(w[:2*channels], 2, channels))
		}, func() (y []float32) {
			for ch := range channels {
				y = append(y, float32(float64(x[2*ch])*float64(w[2*ch])+float64(x[2*ch+1])*float64(w[2*ch+1])))
			}
			return y
		}()},
		{"Softplus", func(r *rig, g *Graph) *Tensor { return g.Softplus(r.floats(a, 6, 4)) }, refMap(a, func(x float64) float64 { return math.Log1p(math.Exp(x)) })},
		{"SquaredReLU", func(r *rig, g *Graph) *Tensor { return g.SquaredReLU(r.floats(a, 6, 4)) }, refMap(a, func(x float64) float64 { return max(x, 0) * max(x, 0) })},
		{"Repeat of a view with gaps", func(r *rig, g *Graph) *Tensor {
			wide := r.apart(g, a, 6, 1, 4, 1)
			return g.Repeat(wide, [4]int64{6, 2, 4, 1})
		}, repeated},
	}
	onDevices(t, func(t *testing.T, b *Backend) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := newRig(t, b)
				if d, tol := distance(r.compute(func(g *Graph) *Tensor { return tt.build(r, g) }), tt.want), max(1e-5, tolerance(b)); d > tol {
					t.Errorf("differs by %g, more than %g", d, tol)
				}
			})
		}
	})
}

// Whatever the shapes are that a file may lead to, there is a panic of the package or a result, and no
// abort of the library.
func TestMisuseOfARecurrencePanics(t *testing.T) {
	b := openCPU(t, 0)
	ctx := NewContext(64)
	defer ctx.Close()
	g := b.NewGraph(8)
	defer g.Close()
	x := func(ne ...int64) *Tensor { return ctx.New(F32, ne...) }
	delta := func(q, k, v, decay, beta, state *Tensor, keep int) func() {
		return func() { g.GatedDeltaNet(q, k, v, decay, beta, state, keep) }
	}
	scan := func(state, in, dt, a, b, c *Tensor, keep int) func() {
		return func() { g.SSMScan(state, in, dt, a, b, c, keep) }
	}
	q, v, gate, state := x(16, 2, 3), x(16, 4, 3), x(1, 4, 3), x(16, 16, 4)
	in, dt, a, group, memory := x(8, 4, 3), x(4, 3), x(1, 4), x(16, 2, 3), x(16, 8, 4)
	for name, call := range map[string]func(){
		"GatedDeltaNet of heads that keys do not divide":   delta(x(16, 3, 3), x(16, 3, 3), v, gate, gate, state, 1),
		"GatedDeltaNet of keys of another size":            delta(q, x(8, 2, 3), v, gate, gate, state, 1),
		"GatedDeltaNet of another number of tokens":        delta(q, q, x(16, 4, 2), gate, gate, state, 1),
		"GatedDeltaNet of decays of other heads":           delta(q, q, v, x(1, 2, 3), gate, state, 1),
		"GatedDeltaNet of a state of another size":         delta(q, q, v, gate, gate, x(16, 8, 4), 1),
		"GatedDeltaNet that keeps no state":                delta(q, q, v, gate, gate, state, 0),
		"GatedDeltaNet that keeps more states than tokens": delta(q, q, v, gate, gate, state, 4),
		"GatedDeltaNet of f16":                             delta(ctx.New(F16, 16, 2, 3), q, v, gate, gate, state, 1),
		"GatedDeltaNet without a state":                    delta(q, q, v, gate, gate, nil, 1),
		"SSMScan of heads that groups do not divide":       scan(memory, in, dt, a, x(16, 3, 3), x(16, 3, 3), 1),
		"SSMScan of b and c of other sizes":                scan(memory, in, dt, a, group, x(8, 2, 3), 1),
		"SSMScan of a state of other heads":                scan(x(16, 8, 2), in, dt, a, group, group, 1),
		"SSMScan of time steps of other tokens":            scan(memory, in, x(4, 2), a, group, group, 1),
		"SSMScan of a rate for each value":                 scan(memory, in, dt, x(16, 4), group, group, 1),
		"SSMScan of heads with gaps":                       scan(memory, g.View3D(x(10, 4, 3), 8, 4, 3, 40, 160, 0), dt, a, group, group, 1),
		"SSMScan that keeps no state":                      scan(memory, in, dt, a, group, group, 0),
		"SSMScan that keeps more states than tokens":       scan(memory, in, dt, a, group, group, 4),
		"SSMScan of nothing":                               scan(memory, in, nil, a, group, group, 1),
		"SSMConv of other channels":                        func() { g.SSMConv(x(5, 8), x(3, 4)) },
		"SSMConv of fewer values than the kernel":          func() { g.SSMConv(x(2, 8), x(3, 8)) },
		"SSMConv of f16":                                   func() { g.SSMConv(ctx.New(F16, 5, 8), x(3, 8)) },
		"Softplus of f16":                                  func() { g.Softplus(ctx.New(F16, 8)) },
		"SquaredReLU of f16":                               func() { g.SquaredReLU(ctx.New(F16, 8)) },
		"Repeat to a size that is no multiple":             func() { g.Repeat(x(4, 2), [4]int64{4, 3, 1, 1}) },
		"Repeat to a smaller size":                         func() { g.Repeat(x(4, 2), [4]int64{4, 1, 1, 1}) },
		"Repeat to nothing":                                func() { g.Repeat(x(4, 2), [4]int64{4, 2, 0, 1}) },
		"Repeat to more than any memory":                   func() { g.Repeat(x(4, 2), [4]int64{4, 1 << 40, 1 << 40, 1}) },
	} {
		var op string
		if _, err := fmt.Sscan(name, &op); err != nil {
			t.Fatal(err)
		}
		if e := panicOf(t, call); e.Op != op || e.Reason == "" {
			t.Errorf("%s: got %q of %q, want a reason", name, e.Reason, e.Op)
		}
	}
}
