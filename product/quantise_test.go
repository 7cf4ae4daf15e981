package product

import (
	"fmt"
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// A quantised value is the nearest multiple of the block's unit, and the largest one is 127 units.
func TestQuantisedValuesAreTheNearest(t *testing.T) {
	r := newRig(t, 1)
	const in, tokens = 128, 18
	for kind := range inputs {
		x := input(kind, in*tokens)
		a := r.machine(isa.Go, 1).quantise(x, in)
		for token := range tokens {
			s := tokenOf(a, token)
			for i, q := range s.q {
				v, d := float64(x[in*token+i]), float64(s.d[i/blockValues])
				if diff := math.Abs(float64(q)*d - v); diff > d*0.50001 && diff > 0x1p-100 {
					t.Fatalf("%s: %g became %d times %g", inputs[kind].name, v, q, d)
				}
			}
			for b, d := range s.d {
				most, all, low := 0, 0, 0
				for i, q := range s.q[b*blockValues:][:blockValues] {
					most, all = max(most, int(q), -int(q)), all+int(q)
					if i < 16 {
						low += int(q)
					}
				}
				if d != 0 && most != 127 || d == 0 && most != 0 || int(s.all[b]) != -all || int(s.low[b]) != -low || s.sum[b] != d*float32(all) {
					t.Fatalf("%s: scale %g, largest %d, sums %d, %d, %g", inputs[kind].name, d, most, s.all[b], s.low[b], s.sum[b])
				}
			}
		}
	}
}

// oddities are values that need care.
var oddities = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32, 0x1p-100, -0x1p-100,
	math.Float32frombits(math.Float32bits(0x1p-100) - 1), math.Float32frombits(1), float32(math.Copysign(0, -1)), 1e30,
	math.Float32frombits(0xFF800001), // a signalling NaN
}

// Every instruction set quantises to the bits of the operation in Go, with as many threads as one
// likes, and with gaps between tokens.
func TestQuantisingGivesTheSameBits(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, in := range []int{32, 96, 2048 + 32} {
			for _, tokens := range []int{1, 2, 3, 5, 15, 16, 17, 33} {
				for kind := range inputs {
					r.reset()
					x := input(kind, in*tokens, in, tokens)
					for i, v := range oddities {
						if i < tokens {
							x[in*i+i%in] = v
						}
					}
					want := r.machine(isa.Go, 1).quantise(x, in)
					m := r.machine(set, kind%5+1)
					if err := sameTokens(m.quantise(x, in), want); err != nil {
						t.Errorf("%s [%d, %d], %d threads: %v", inputs[kind].name, in, tokens, m.threads, err)
					}

					wide := make([]float32, 0, (in+8)*tokens)
					for token := range tokens {
						wide = append(append(wide, x[in*token:][:in]...), make([]float32, 8)...)
					}
					all := m.leaf(ggml.F32, bytesOf(wide), int64(in+8), int64(tokens))
					a := m.Quantise(m.graph, m.graph.View2D(all, int64(in), int64(tokens), all.Nb(1), 0))
					m.compute(opQuantise, a.t)
					if err := sameTokens(a, want); err != nil {
						t.Errorf("%s [%d, %d] with gaps: %v", inputs[kind].name, in, tokens, err)
					}
				}
			}
		}
	})
}

// Values of more than two dimensions are tokens too.
func TestFurtherDimensionsAreTokens(t *testing.T) {
	r := newRig(t, 2)
	w := newMatrix(t, seeded(1), ggml.Q8_0, 64, 32)
	x := input(0, 64*24)
	want := r.machine(isa.Go, 1).of(w, x)
	p := On(r.device, isa.Best)
	if !p.Any() {
		p = On(r.device, isa.Go)
	}
	got := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
		return []*ggml.Tensor{p.Product(g, r.weights(w), p.Quantise(g, r.floats(x, 64, 2, 3, 4)), nil)}
	})
	if err := sameBits(got[0], want, w.out); err != nil {
		t.Error(err)
	}
}

func TestNormQuantise(t *testing.T) {
	const eps = 1e-5
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, in := range []int{32, 96, 576, 2048} {
			weight := normal(seeded(in), in)
			for _, tokens := range []int{1, 2, 5, 16, 19} {
				for kind := range inputs {
					r.reset()
					x := input(kind, in*tokens, in, tokens)
					got := r.machine(set, kind%4+1).normQuantise(x, weight, eps)
					if err := sameTokens(got, r.machine(isa.Go, 1).normQuantise(x, weight, eps)); err != nil {
						t.Errorf("%s [%d, %d]: %v", inputs[kind].name, in, tokens, err)
					}
					if err := nearNorm(got, x, weight, eps); err != nil {
						t.Errorf("%s [%d, %d]: %v", inputs[kind].name, in, tokens, err)
					}
				}
			}
			odd := make([]float32, in*len(oddities))
			for i, v := range oddities {
				odd[in*i+i] = v
			}
			if err := sameTokens(r.machine(set, 2).normQuantise(odd, weight, eps), r.machine(isa.Go, 1).normQuantise(odd, weight, eps)); err != nil {
				t.Errorf("oddities: %v", err)
			}
		}
	})
}

// nearNorm reports a value that is not the nearest multiple of its unit to the norm in float64.
func nearNorm(a *Activations, x, weight []float32, eps float64) error {
	in := len(weight)
	for token := range int(a.tokens) {
		s, sum := tokenOf(a, token), 0.0
		for _, v := range x[in*token:][:in] {
			sum += float64(v) * float64(v)
		}
		if sum > math.MaxFloat32 {
			continue // float32 cannot hold it
		}
		scale := 1 / math.Sqrt(sum/float64(in)+eps)
		for i, q := range s.q {
			d := float64(s.d[i/blockValues])
			want := float64(x[in*token+i]) * scale * float64(weight[i])
			if diff := math.Abs(float64(q)*d - want); !(diff <= 0.501*d+0x1p-90) {
				return fmt.Errorf("value %d of token %d is %d times %g, want %g", i, token, q, d, want)
			}
		}
	}
	return nil
}
