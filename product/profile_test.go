package product

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Signals of the profiler reach ggml's threads in the middle of the operations: they have no stack
// that Go knows.
func TestProfilingWhileOperationsRun(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 2)
		const in, rows, out, tokens = 512, 512, 256, 64
		rng := seeded(8)
		gate, up, down := newMatrix(t, rng, ggml.Q4_K, in, rows), newMatrix(t, rng, ggml.Q6_K, in, rows), newMatrix(t, rng, ggml.Q4_1, rows, out)
		x := normal(rng, in*tokens)
		of := func(m *machine) []float32 { return m.product(down, m.gateUp(gate, up, m.quantise(x, in)), nil) }
		want := of(r.machine(isa.Go, 2))
		p := On(r.device, set)
		g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
			u := p.GateUp(g, SiLU, Half{Weight: r.weights(gate)}, Half{Weight: r.weights(up)}, rows, p.Quantise(g, r.floats(x, in, tokens)))
			return []*ggml.Tensor{p.Product(g, r.weights(down), u, nil)}
		})
		// What Go's profiler calls code of threads that are not its own. On a busy machine few
		// signals reach them.
		const tries = 25
		outside := set == isa.Go
		for range tries {
			samples := profiled(t, func() {
				if err := r.backend.Compute(g); err != nil {
					t.Fatal(err)
				}
				got := make([]float32, y[0].Elements())
				ggml.GetSlice(y[0], got, 0)
				if err := sameBits(got, want, out); err != nil {
					t.Fatal(err)
				}
			})
			if outside = outside || bytes.Contains(samples, []byte("runtime._ExternalCode")); outside {
				break
			}
		}
		if !outside {
			t.Error("no signal came while operations ran on ggml's threads")
		}
		profiled(t, func() { // and on Go's own threads
			r.reset()
			if err := sameBits(of(r.machine(set, 1)), want, out); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// profiled returns the profile of something that is done for a while.
func profiled(t *testing.T, do func()) []byte {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); { // some hundred signals
		do()
	}
	pprof.StopCPUProfile()
	unzipped, err := gzip.NewReader(&profile)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}
