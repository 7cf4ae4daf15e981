package product

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Scratch grows with the threads that the backend has, and not with those that the machine could run.
// Where there are more threads later, they leave the work to those that have scratch.
func TestScratchIsForTheThreadsOfTheBackend(t *testing.T) {
	const in, out, tokens = 512, 64, 20
	w, x := newMatrix(t, seeded(1), ggml.Q4_K, in, out), normal(seeded(2), in*tokens)
	var want []float32
	var sizes []int64 // of activations
	for _, threads := range []int{1, 2} {
		r := openRig(t, threads)
		var a *Activations
		g, results := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
			p := On(r.device, isa.Best)
			if !p.Any() {
				t.Skip("cpu: no machine code here")
			}
			a = p.Quantise(g, r.floats(x, in, tokens))
			return []*ggml.Tensor{p.Product(g, r.weights(w), a, nil)}
		})
		sizes = append(sizes, a.t.Bytes())
		for _, n := range []int{threads, ggml.MostThreads()} {
			if err := r.backend.SetThreads(n); err != nil {
				t.Fatal(err)
			}
			if err := r.backend.Compute(g); err != nil {
				t.Fatal(err)
			}
			y := make([]float32, out*tokens)
			ggml.GetSlice(results[0], y, 0)
			if want == nil {
				want = y
			}
			if err := sameBits(y, want, out); err != nil {
				t.Errorf("%d threads, scratch for %d: %v", n, threads, err)
			}
		}
	}
	if got, want := sizes[1]-sizes[0], frameRoom+panelScratch(in, tokens); got != want {
		t.Errorf("a second thread takes %d bytes, want %d", got, want)
	}
}
