package product

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// gated returns what a unit makes of each gate and up.
func gated(glu GLU, gate, up []float32) []float32 {
	y := make([]float32, len(gate))
	for i := range y {
		y[i] = glu.of(gate[i], up[i])
	}
	return y
}

// GateUp gives the bits of two products, with biases where there are some, of the unit and of quantising.
func TestGateUpEqualsItsSteps(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for i, typ := range types {
			other := types[(i+3)%len(types)]
			for _, shape := range [][2]int{{256, 32}, {768, 96}, {2048 + 256, 64}, {8192 + 256, 32}} {
				in, rows := shape[0], shape[1]
				if in > 2304 && i > 0 && !testAll {
					continue
				}
				rng := seeded(i, in)
				gate, up := newMatrix(t, rng, typ, in, rows), newMatrix(t, rng, other, in, rows)
				for _, tokens := range []int{1, 4, 5, 22} {
					if set == isa.Go && in*tokens > 3072 && !testAll {
						continue
					}
					r.reset()
					m := r.machine(set, tokens%4+1)
					a := m.quantise(input(0, in*tokens), in)
					glu, n := GLU((i+tokens)%int(glus)), i/int(glus)+tokens
					var gateBias, upBias []float32
					if n%2 == 0 {
						gateBias, upBias = normal(rng, rows), normal(rng, rows)
					}
					want := m.quantise(gated(glu, m.product(gate, a, gateBias), m.product(up, a, upBias)), rows)
					if err := sameTokens(m.gated(glu, gate, up, gateBias, upBias, a), want); err != nil {
						t.Errorf("%v and %v, %d tokens, unit %d, biases: %v, %d threads: %v", gate, other, tokens, glu, gateBias != nil, m.threads, err)
					}
				}
			}
		}
	})
}

// More tokens than an item of GateUp has.
func TestGateUpOfManyTokens(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		const in, rows, tokens = 256, 64, 2*passTokens + 5
		gate, up := newMatrix(t, seeded(1), ggml.Q4_1, in, rows), newMatrix(t, seeded(2), ggml.Q6_K, in, rows)
		x := input(0, in*tokens)
		want := r.machine(isa.Go, 2)
		if err := sameTokens(r.machine(set, 3).gateUp(gate, up, r.machine(set, 1).quantise(x, in)), want.gateUp(gate, up, want.quantise(x, in))); err != nil {
			t.Error(err)
		}
	})
}

// The gate and up may be rows of one tensor, in any place.
func TestGateUpOfRowsOfOneTensor(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		const in, rows = 512, 64
		for _, typ := range types {
			both := newMatrix(t, seeded(int(typ)), typ, in, 5*Rows)
			part := func(row int) *matrix {
				size := len(both.packed) / both.out
				return &matrix{typ, in, rows, both.file[row*size:][:rows*size], both.packed[row*size:][:rows*size]}
			}
			for _, tokens := range []int{2, 20} {
				r.reset()
				m := r.machine(set, 2)
				a := m.quantise(input(0, in*tokens), in)
				w := m.weigh(both)
				got := m.GateUp(m.graph, SiLU, Half{Weight: w, Row: 3 * Rows}, Half{Weight: w, Row: Rows}, rows, a)
				m.compute(opGateUp, got.t)
				if err := sameTokens(got, m.gateUp(part(3*Rows), part(Rows), a)); err != nil {
					t.Errorf("%v, %d tokens: %v", typ, tokens, err)
				}
			}
		}
	})
}

// A residual is added once the product is whole.
func TestResidual(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for i, typ := range types {
			in := []int{256, 2048 + 512}[i%2] // one part, or two
			w := newMatrix(t, seeded(int(typ)), typ, in, 96)
			for _, tokens := range []int{1, 4, 6, 33} {
				r.reset()
				rng := seeded(i, tokens)
				m := r.machine(set, tokens%3+1)
				a := m.quantise(normal(rng, in*tokens), in)
				plain := m.product(w, a, nil)
				each, all := normal(rng, w.out*tokens), normal(rng, w.out)
				for name, residual := range map[string][]float32{"each token": each, "all tokens": all} {
					want := make([]float32, len(plain))
					for j := range want {
						want[j] = plain[j] + residual[j%len(residual)]
					}
					if err := sameBits(m.product(w, a, residual), want, w.out); err != nil {
						t.Errorf("%v, %d tokens, one for %s: %v", w, tokens, name, err)
					}
				}
			}
		}
	})
}
