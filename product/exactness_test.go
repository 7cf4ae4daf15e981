package product

import (
	"fmt"
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// errorSizes are those of a product: the root mean square of all, divided by that of the results, and the
// largest one divided by the same.
type errorSizes struct{ rms, most float64 }

func errorsOf(got []float32, want []float64) errorSizes {
	var e errorSizes
	size := 0.0
	for i, w := range want {
		d := float64(got[i]) - w
		e.rms, size, e.most = e.rms+d*d, size+w*w, max(e.most, math.Abs(d))
	}
	return errorSizes{math.Sqrt(e.rms / size), e.most / math.Sqrt(size/float64(len(want)))}
}

// Products are never less exact than ggml's: the error is that of rounding activations to 8 bits, and
// is measured against float64 over the weights as stored and the values as they were. The table is
// that of docs/product.md.
func TestProductsAreNotLessExactThanGGMLs(t *testing.T) {
	r := newRig(t, 1)
	const out, tokens = 128, 24
	t.Log("| type | Gaussian: ours | ggml | outliers: ours | ggml |")
	for _, typ := range types {
		row := "| " + typ.String()
		for _, in := range []struct{ kind, values int }{{0, 2048}, {1, 8192}} {
			r.reset()
			w := newMatrix(t, seeded(int(typ), in.kind), typ, in.values, out)
			x := input(in.kind, in.values*tokens)
			set := isa.Best.Resolved()
			if !vectors(set) {
				set = isa.Go
			}
			ours := r.machine(set, 1).of(w, x)
			theirs := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
				return []*ggml.Tensor{g.MulMat(r.tensor(typ, w.file, int64(w.in), int64(w.out)), r.floats(x, int64(w.in), tokens))}
			})[0]
			want := make([]float64, 0, out*tokens)
			weights := ggml.Dequantize(typ, w.file, w.in*w.out)
			for token := range tokens {
				for i := range out {
					sum := 0.0
					for j, v := range weights[i*w.in:][:w.in] {
						sum += float64(v) * float64(x[token*w.in+j])
					}
					want = append(want, sum)
				}
			}
			us, them := errorsOf(ours, want), errorsOf(theirs, want)
			// Where both round alike, they differ by chance.
			if us.rms > 1.02*them.rms || us.most > 1.3*them.most {
				t.Errorf("%v, %s: errors %.3g and at most %.3g, ggml's %.3g and %.3g", w, inputs[in.kind].name, us.rms, us.most, them.rms, them.most)
			}
			row += fmt.Sprintf(" | %.2e | %.2e", us.rms, them.rms)
		}
		t.Log(row + " |")
	}
}
