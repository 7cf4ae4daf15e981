package product

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// On ggml's threads, however many, operations give the bits that they give called from Go, and again
// when the graph is computed again.
func TestOperationsInAGraphEqualThoseCalledFromGo(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		const in, rows, out, tokens = 256, 256, 64, 21
		for _, threads := range []int{2, 3} {
			r := newRig(t, threads)
			for i, typ := range types {
				if !testAll && i%4 != threads {
					continue
				}
				for _, n := range []int{1, tokens} {
					if set == isa.Go && n > 1 && !testAll {
						continue // it takes its time
					}
					rng := seeded(int(typ), n)
					gate, up, down := newMatrix(t, rng, typ, in, rows), newMatrix(t, rng, ggml.Q6_K, in, rows), newMatrix(t, rng, typ, rows, out)
					x, norm, rest := normal(rng, in*n), normal(rng, in), normal(rng, out*n)
					r.reset()
					m := r.machine(set, 1)
					a := m.normQuantise(x, norm, 1e-5)
					want := m.product(down, m.gateUp(gate, up, a), rest)

					p := On(r.device, set)
					g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
						a := p.NormQuantise(g, r.floats(x, in, int64(n)), r.floats(norm, in), 1e-5)
						both := r.tensor(typ, append(append([]byte{}, gate.packed...), newMatrix(t, rng, typ, in, rows).packed...), in, 2*rows)
						u := p.GateUp(g, SiLU, Half{Weight: both}, Half{Weight: r.weights(up)}, rows, a)
						return []*ggml.Tensor{p.Product(g, r.weights(down), u, r.floats(rest, out, int64(n)))}
					})
					for range 2 {
						if err := r.backend.Compute(g); err != nil {
							t.Fatal(err)
						}
						got := make([]float32, y[0].Elements())
						ggml.GetSlice(y[0], got, 0)
						if err := sameBits(got, want, out); err != nil {
							t.Errorf("%v, %d tokens, %d threads: %v", typ, n, threads, err)
						}
					}
				}
			}
		}
	})
}
