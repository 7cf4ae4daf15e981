package product

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// Where activations are large, an item is several panels, part by part. Each token's result is what it
// is alone.
func TestPanelsThatShareLargeActivations(t *testing.T) {
	const in, out, tokens = 8192 + 256, 9 * Rows, 8*tileTokens - 3 // groups of 2 panels, and one panel
	if in/blockValues*(tokens+tileTokens-1)/tileTokens < cachedBlocks {
		t.Fatal("too few activations for the test")
	}
	for _, typ := range []ggml.Type{ggml.Q4_0, ggml.Q6_K} {
		rng := seeded(int(typ))
		rows, err := ggml.Quantize(typ, normal(rng, in*out), in)
		if err != nil {
			t.Fatal(err)
		}
		packed := make([]byte, len(rows))
		Pack(typ, packed, rows, in)
		x, residual := normal(rng, in*tokens), normal(rng, out*tokens)
		for _, set := range vectorISAs() {
			r := newRig(t, 1)
			p, w := On(r.device, set), r.tensor(typ, packed, in, out)
			results := func(first, n int) [][]float32 {
				values := r.floats(x[in*first:in*(first+n)], in, int64(n))
				add := r.floats(residual[out*first:out*(first+n)], out, int64(n))
				return r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
					a := p.Quantise(g, values)
					return []*ggml.Tensor{p.Product(g, w, a, nil), p.Product(g, w, a, add)}
				})
			}
			all := results(0, tokens)
			for _, token := range []int{0, 60, tokens - 1} {
				for i, want := range results(token, 1) {
					if err := sameBits(all[i][out*token:out*(token+1)], want, out); err != nil {
						t.Errorf("%v, %v, token %d, product %d: %v", typ, set, token, i, err)
					}
				}
			}
		}
	}
}
