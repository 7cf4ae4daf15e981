package attend

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime/pprof"
	"testing"
	"time"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// rig is an opened CPU and memory for tensors on it.
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
	return rigOn(t, d, threads)
}

// rigOn opens a device.
func rigOn(t testing.TB, d *ggml.Device, threads int) *rig {
	t.Helper()
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

func bytesOf[T any](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// operands are a problem's tensors on the rig.
func (r *rig) operands(p *problem) (q, k, v, spans *ggml.Tensor) {
	r.t.Helper()
	q = r.tensor(ggml.F32, bytesOf(p.q[:p.keyDim*p.heads*p.rows]), int64(p.keyDim), int64(p.heads), int64(p.rows))
	k = r.tensor(p.typ, p.k, int64(p.keyDim), int64(p.cells), int64(p.kvHeads))
	v = r.tensor(p.typ, p.v, int64(p.valueDim), int64(p.cells), int64(p.kvHeads))
	words := p.words
	return q, k, v, r.tensor(ggml.I32, bytesOf(words), int64(len(words)))
}

// graph allocates a graph of what build returns.
func (r *rig) graph(build func(g *ggml.Graph) []*ggml.Tensor) (*ggml.Graph, []*ggml.Tensor) {
	r.t.Helper()
	g := r.backend.NewGraph(40)
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

func (r *rig) compute(g *ggml.Graph) {
	r.t.Helper()
	if err := r.backend.Compute(g); err != nil {
		r.t.Fatal(err)
	}
}

func numbers(t *ggml.Tensor) []float32 {
	s := make([]float32, t.Elements())
	ggml.GetSlice(t, s, 0)
	return s
}

// On ggml's threads, however many, the op gives the bits that it gives called from Go; and again
// when the graph is computed again.
func TestOpInAGraphEqualsTheOpCalledFromGo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, threads := range []int{1, 2, 4} {
			r := newRig(t, threads)
			for n, typ := range kernelTypes {
				for _, rows := range []int{1, 5, 20} {
					rng := seeded(n, rows)
					p := &problem{shape: shape{64, 64, 9, 3, rows, 600}, typ: typ, scale: Scores{Factor: 0.125}}
					p.fill(t, rng)
					p.look((n+rows)%waysToSee, rng)
					p.prepare()
					want, wantLSE := p.run(t, set, 1)
					q, k, v, spans := r.operands(p)
					g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
						out, lse := On(r.device, Kernel, set).Partial(g, q, k, v, spans, p.scale)
						return []*ggml.Tensor{g.Scale(out, 1), g.Scale(lse, 1)}
					})
					for range 3 {
						r.compute(g)
						if err := sameBits(numbers(y[0]), want); err != nil {
							t.Fatalf("%v: %d threads: %v", p, threads, err)
						}
						if err := sameBits(numbers(y[1]), wantLSE); err != nil {
							t.Fatalf("%v: %d threads: log-sum-exp: %v", p, threads, err)
						}
					}
				}
			}
		}
	})
}

// Scratch grows with the threads that the backend has, and not with those that the machine could run.
// Where there are more threads later, they leave the work to those that have scratch.
func TestScratchIsForTheThreadsOfTheBackend(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		p := &problem{shape: shape{64, 64, 6, 2, 5, 600}, typ: ggml.F16, scale: Scores{Factor: 0.125}}
		p.fill(t, seeded(1))
		p.look(seeCausal, seeded(1))
		p.prepare()
		want, _ := p.run(t, set, 1)
		var sizes []int64
		for _, threads := range []int{1, 2} {
			r := newRig(t, threads)
			q, k, v, spans := r.operands(p)
			g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
				return []*ggml.Tensor{g.Scale(On(r.device, Kernel, set).Graph(g, q, k, v, spans, p.scale), 1)}
			})
			sizes = append(sizes, r.scratch.Size())
			for _, n := range []int{threads, ggml.MostThreads()} {
				if err := r.backend.SetThreads(n); err != nil {
					t.Fatal(err)
				}
				r.compute(g)
				if err := sameBits(numbers(y[0]), want); err != nil {
					t.Errorf("%d threads, scratch for %d: %v", n, threads, err)
				}
			}
		}
		if got, want := sizes[1]-sizes[0], p.layout(1, set).frameSize; got != want {
			t.Errorf("a second thread takes %d bytes, want %d", got, want)
		}
	})
}

// What a row sees changes from step to step, and the graph is the same.
func TestSpansChangeWithoutANewGraph(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 2)
		p := &problem{shape: shape{32, 32, 4, 2, 2, 600}, typ: ggml.F16, scale: Scores{Factor: 0.2}}
		p.fill(t, seeded(5))
		p.look(seeAll, seeded(5))
		p.prepare()
		q, k, v, _ := r.operands(p)
		spans := r.tensor(ggml.I32, make([]byte, 4*SpansWords(2, 2, 600)), int64(SpansWords(2, 2, 600)))
		g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
			return []*ggml.Tensor{g.Scale(On(r.device, Auto, set).Graph(g, q, k, v, spans, p.scale), 1)}
		})
		for how := range waysToSee {
			p.look(how, seeded(how))
			p.prepare()
			want, _ := p.run(t, set, 1)
			ggml.SetSlice(spans, p.spans.Words(), 0)
			r.compute(g)
			if err := sameBits(numbers(y[0]), want); err != nil {
				t.Errorf("way %d: %v", how, err)
			}
		}
	})
}

// Flash attention with a mask and the kernel with spans see the same cells.
func TestKernelEqualsFlashAttention(t *testing.T) {
	r := newRig(t, 1)
	for how := range waysToSee {
		if how == seeLittle || how == seeStrewn {
			continue // flash attention's result of a token that sees nothing is not defined
		}
		rng := seeded(how)
		p := &problem{shape: shape{64, 64, 4, 2, 3, 256}, typ: ggml.F32}
		p.fill(t, rng)
		p.look(how, rng)
		p.prepare()
		q, k, v, spans := r.operands(p)
		mask := make([]uint16, p.cells*p.rows)
		for i := range mask {
			mask[i] = 0xFC00 // -Inf
		}
		for row := range p.rows {
			for _, c := range p.seen(row) {
				mask[row*p.cells+c] = 0
			}
		}
		m := r.tensor(ggml.F16, bytesOf(mask), int64(p.cells), int64(p.rows))
		for _, set := range kernelISAs() {
			g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
				ours := On(r.device, Kernel, set).Graph(g, q, k, v, spans, p.scale)
				theirs := On(r.device, Flash, set).Graph(g, q, k, v, m, p.scale)
				return []*ggml.Tensor{g.Scale(ours, 1), g.Scale(theirs, 1)}
			})
			r.compute(g)
			want := make([]float64, 0, y[1].Elements())
			for _, x := range numbers(y[1]) {
				want = append(want, float64(x))
			}
			if d := distance(numbers(y[0]), want); d > 2*tolerance { // both sum float32
				t.Errorf("%v: way %d: differs by %g, want at most %g", set, how, d, 2*tolerance)
			}
		}
	}
}

// Signals of the profiler reach ggml's threads in the middle of the kernel: they have no stack that
// Go knows.
func TestProfilingWhileTheKernelRuns(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 2)
		p := &problem{shape: shape{64, 64, 6, 2, 4, 2000}, typ: ggml.Q8_0, scale: Scores{Factor: 0.125}}
		p.fill(t, seeded(8))
		p.look(seeCausal, seeded(8))
		p.prepare()
		want, _ := p.run(t, set, 1)
		q, k, v, spans := r.operands(p)
		g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
			return []*ggml.Tensor{g.Scale(On(r.device, Kernel, set).Graph(g, q, k, v, spans, p.scale), 1)}
		})
		// What Go's profiler calls code of threads that are not its own. On a busy machine few
		// signals reach them.
		const tries = 25
		outside := set == isa.Go
		for range tries {
			samples := profiled(t, func() {
				r.compute(g)
				p.prepare()
				p.run(t, set, 1) // and on Go's own thread
			})
			if outside = outside || bytes.Contains(samples, []byte("runtime._ExternalCode")); outside {
				break
			}
		}
		if !outside {
			t.Error("no signal came while the kernel ran on ggml's threads")
		}
		if err := sameBits(numbers(y[0]), want); err != nil {
			t.Error(err)
		}
	})
}

// profiled returns the profile of something that is done for a while.
func profiled(t *testing.T, do func()) []byte {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); { // some hundred signals
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

func TestOperandsThatDoNotFitPanic(t *testing.T) {
	r := newRig(t, 1)
	x := func(typ ggml.Type, ne ...int64) *ggml.Tensor { return r.meta.New(typ, ne...) }
	q, k, spans := x(ggml.F32, 64, 4, 2), x(ggml.F16, 64, 100, 2), x(ggml.I32, 100)
	tests := map[string][4]*ggml.Tensor{
		"f16 queries":          {x(ggml.F16, 64, 4, 2), k, k, spans},
		"two types":            {q, k, x(ggml.F32, 64, 100, 2), spans},
		"a type it lacks":      {q, x(ggml.Q5_0, 64, 100, 2), x(ggml.Q5_0, 64, 100, 2), spans},
		"a head of 40":         {x(ggml.F32, 40, 4, 2), x(ggml.F16, 40, 100, 2), k, spans},
		"unequal dimensions":   {x(ggml.F32, 32, 4, 2), k, k, spans},
		"fewer values":         {q, k, x(ggml.F16, 64, 99, 2), spans},
		"3 heads of 2":         {x(ggml.F32, 64, 3, 2), k, k, spans},
		"a mask":               {q, k, k, x(ggml.F16, 100, 2)},
		"spans of fewer rows":  {x(ggml.F32, 64, 4, 90), k, k, spans},
		"spans of fewer heads": {x(ggml.F32, 64, 64, 2), x(ggml.F16, 64, 100, 64), x(ggml.F16, 64, 100, 64), x(ggml.I32, 70)},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if e, ok := recover().(*ggml.ShapeError); !ok || len(e.Operands) != 4 {
					t.Errorf("got %v, want a panic with the operands", e)
				}
			}()
			g := r.backend.NewGraph(8)
			defer g.Close()
			On(r.device, Kernel, isa.Go).Partial(g, o[0], o[1], o[2], o[3], Scores{Factor: 1})
		})
	}
	for name, sinks := range map[string]*ggml.Tensor{"sinks of fewer heads": x(ggml.F32, 3), "sinks of each token": x(ggml.F32, 4, 2), "f16 sinks": x(ggml.F16, 4)} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if e, ok := recover().(*ggml.ShapeError); !ok || len(e.Operands) != 5 {
					t.Errorf("got %v, want a panic with the operands", e)
				}
			}()
			g := r.backend.NewGraph(8)
			defer g.Close()
			On(r.device, Kernel, isa.Go).Partial(g, q, k, k, spans, Scores{Factor: 1, Sinks: sinks})
		})
	}
}

// The kernel reads struct ggml_tensor by itself.
func TestTensorLiesInMemoryAsInC(t *testing.T) {
	var x tensor
	got := fmt.Sprint(unsafe.Sizeof(x), unsafe.Offsetof(x.typ), unsafe.Offsetof(x.ne), unsafe.Offsetof(x.nb), unsafe.Offsetof(x.op),
		unsafe.Offsetof(x.params), unsafe.Offsetof(x.flags), unsafe.Offsetof(x.src), unsafe.Offsetof(x.data))
	if want := fmt.Sprint(336, 0, 16, 48, 80, 108, 148, 152, 248); got != want {
		t.Errorf("size and offsets %s, want %s", got, want)
	}
	if size := unsafe.Sizeof(ggml.CustomParams{}); unsafe.Sizeof(x.params) != size {
		t.Errorf("parameters of %d bytes, want %d", unsafe.Sizeof(x.params), size)
	}
}
