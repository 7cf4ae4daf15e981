//go:build unix

package product

import (
	"testing"

	"github.com/seed4d217819/ebb/isa"
)

// The pages beside weights, values, activations with their scratch, and results are not there: reading
// or writing them would end the process.
func TestNothingBesideTheOperandsIsTouched(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			for _, shape := range [][2]int{{256, 32}, {768, 96}, {2048 + 256, 32}} {
				in, out := shape[0], shape[1]
				rng := seeded(int(typ), in)
				w, up := newMatrix(t, rng, typ, in, out), newMatrix(t, rng, typ, in, out)
				norm := normal(rng, in)
				for _, tokens := range []int{1, 3, 4, 5, 23} {
					if !testAll && (set == isa.Go && tokens != 5 || in > 256 && tokens < 5) {
						continue
					}
					r.reset()
					x, rest := input(0, in*tokens), normal(rng, out*tokens)
					m := r.machine(set, tokens%3+1)
					want := m.product(w, m.normQuantise(x, norm, 1e-6), rest)
					for _, m.guard = range []guard{guardBehind, guardBefore} {
						a := m.normQuantise(x, norm, 1e-6)
						if err := sameBits(m.product(w, a, rest), want, out); err != nil {
							t.Errorf("%v, %d tokens: %v", w, tokens, err)
						}
						m.gateUp(w, up, a)
						m.quantise(x, in)
					}
				}
			}
		}
	})
}

// No bytes of weights make an operation fault, and what they give is what they give in Go.
func TestNoContentMakesAnOperationFault(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, typ := range types {
			for round := range 6 {
				r.reset()
				rng := seeded(int(typ), round)
				in, tokens := 512, []int{1, 3, 18}[round%3]
				w := matrixOf(typ, in, 64, randomBytes(rng, 64*typ.RowSize(int64(in))))
				x := input(round%len(inputs), in*tokens)
				want := r.machine(isa.Go, 1).of(w, x)
				m := r.machine(set, 2)
				m.guard = guardBehind
				if err := sameBits(m.of(w, x), want, w.out); err != nil {
					t.Errorf("%v, %d tokens: %v", w, tokens, err)
				}
			}
		}
	})
}
