package product

import (
	"math"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// rig is a CPU backend with some threads, and tensors for graphs.
type rig struct {
	t       testing.TB
	device  *ggml.Device
	backend *ggml.Backend
	meta    *ggml.Context
	scratch *ggml.Scratch
}

func newRig(t testing.TB, threads int) *rig {
	t.Helper()
	library, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := library.Device("cpu")
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Open(ggml.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, device: d, backend: b, meta: ggml.NewContext(4096), scratch: b.NewScratch()}
	t.Cleanup(r.meta.Close)
	t.Cleanup(r.scratch.Close)
	return r
}

// tensor returns a tensor that holds bytes.
func (r *rig) tensor(typ ggml.Type, data []byte, ne ...int64) *ggml.Tensor {
	r.t.Helper()
	x := r.meta.New(typ, ne...)
	b, err := r.backend.Alloc(r.backend.BufferType(), r.backend.BufferType().AllocSize(x), ggml.Inputs)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(b.Close)
	b.Place(x, 0)
	x.Set(data, 0)
	return x
}

func (r *rig) floats(x []float32, ne ...int64) *ggml.Tensor {
	r.t.Helper()
	return r.tensor(ggml.F32, bytesOf(x), ne...)
}

// graph allocates a graph of what build returns.
func (r *rig) graph(build func(g *ggml.Graph) []*ggml.Tensor) (*ggml.Graph, []*ggml.Tensor) {
	r.t.Helper()
	g := r.backend.NewGraph(64)
	r.t.Cleanup(g.Close)
	results := build(g)
	for _, y := range results {
		g.Output(y)
		g.Expand(y)
	}
	if _, err := r.scratch.Alloc(g); err != nil {
		r.t.Fatal(err)
	}
	return g, results
}

// numbers computes a graph and returns its results.
func (r *rig) numbers(build func(g *ggml.Graph) []*ggml.Tensor) (all [][]float32) {
	r.t.Helper()
	g, results := r.graph(build)
	if err := r.backend.Compute(g); err != nil {
		r.t.Fatal(err)
	}
	for _, y := range results {
		x := make([]float32, y.Elements())
		y.Get(bytesOf(x), 0)
		all = append(all, x)
	}
	return all
}

func bytesOf[T any](s []T) []byte {
	var x T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(x)))
}

// The product of an operation is ggml's, but for the rounding of the activations to bytes.
func TestProductInAGraphIsNearGGMLs(t *testing.T) {
	const in, out, tokens = 512, 96, 19
	for _, typ := range types {
		r, rng := newRig(t, 2), seeded(int(typ))
		p := On(r.device, isa.Go)
		rows := quantized(t, typ, normal(rng, in*out, 1), in)
		packed := make([]byte, len(rows))
		Pack(typ, packed, rows, in)
		w, plain := r.tensor(typ, packed, in, out), r.tensor(typ, rows, in, out)
		x := r.floats(normal(rng, in*tokens, 1), in, tokens)
		y := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
			return []*ggml.Tensor{p.Product(g, w, p.Quantise(g, x), nil), g.MulMat(plain, x)}
		})
		diff, size := 0.0, 0.0
		for i, got := range y[0] {
			d, want := float64(got-y[1][i]), float64(y[1][i])
			diff, size = diff+d*d, size+want*want
		}
		if e := math.Sqrt(diff / size); !(e < 0.02) { // twice the error of 8 bits and a scale every 256
			t.Errorf("%v: differs by %g of the result", typ, e)
		}
	}
}
