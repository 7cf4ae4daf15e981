package attend

import (
	"cmp"
	"math"
	"os"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// withSinks returns a problem of some rows, in which every head has the same sink.
func withSinks(t testing.TB, rows int, sink float64) *problem {
	t.Helper()
	p := &problem{shape: shape{64, 64, 6, 2, rows, 700}, typ: ggml.F16, scale: Scores{Factor: 0.125}}
	p.fill(t, seeded(rows))
	p.look(seeCausal, seeded(rows))
	for range p.heads {
		p.sinks = append(p.sinks, float32(sink))
	}
	return p
}

func TestASinkOfMinusInfinityEqualsNone(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, rows := range []int{1, 3, passRows + 1} {
			p := withSinks(t, rows, math.Inf(-1))
			p.prepare()
			got, gotLSE := p.run(t, set, 2)
			p.sinks = nil
			p.prepare()
			want, wantLSE := p.run(t, set, 2)
			if err := sameBits(got, want); err != nil {
				t.Errorf("%d rows: %v", rows, err)
			}
			if err := sameBits(gotLSE, wantLSE); err != nil {
				t.Errorf("%d rows: log-sum-exp: %v", rows, err)
			}
		}
	})
}

func TestALargeSinkLeavesTheCellsNothing(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, sink := range []float64{500, 1e30, math.MaxFloat32, math.Inf(1)} {
			for _, rows := range []int{1, passRows + 1} {
				p := withSinks(t, rows, sink)
				p.prepare()
				out, lse := p.run(t, set, 2)
				for i, x := range out {
					if x != 0 {
						t.Fatalf("sink %g, %d rows: number %d is %g, want 0", sink, rows, i, x)
					}
				}
				for i, x := range lse {
					if d := math.Abs(float64(x)/min(sink, math.MaxFloat32*math.Ln2) - 1); !(d < 1e-6) {
						t.Fatalf("sink %g, %d rows: log-sum-exp %d is %g", sink, rows, i, x)
					}
				}
			}
		}
	})
}

// A sink of no number does not silently count for nothing.
func TestASinkOfNaNShows(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		p := withSinks(t, 2, 0)
		p.sinks[4] = float32(math.NaN())
		p.prepare()
		out, _ := p.run(t, set, 1)
		for i, x := range out {
			if want := i/64%6 == 4; math.IsNaN(float64(x)) != want {
				t.Fatalf("number %d is %g; want NaN: %v", i, x, want)
			}
		}
	})
}

func TestTokenThatSeesNothingHasZerosAndItsSinks(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, rows := range []int{1, passRows + 1} {
			p := withSinks(t, rows, -3)
			p.sees = make([][]run, rows)
			p.prepare()
			out, lse := p.run(t, set, 2)
			for i, x := range out {
				if x != 0 {
					t.Fatalf("%d rows: number %d is %g, want 0", rows, i, x)
				}
			}
			for i, x := range lse {
				if math.Abs(float64(x)+3) > 1e-6 {
					t.Fatalf("%d rows: log-sum-exp %d is %g, want -3", rows, i, x)
				}
			}
		}
	})
}

// Whatever the kind, the heads and the number of rows, sinks take the same share. ggml has several
// kernels, by the number of rows and cells.
func TestSinksOfAllKindsEqualFloat64(t *testing.T) {
	r := newRig(t, 2)
	for _, tt := range []struct {
		shape
		typ       ggml.Type
		cap       float32
		tolerance float64 // of ggml's kernels, which sum f16 values in f16
	}{
		{shape{64, 64, 8, 1, 1, 700}, ggml.F32, 0, tolerance},
		{shape{64, 64, 4, 2, 1, 300}, ggml.F16, 0, 6e-3},
		{shape{64, 64, 4, 2, 1, 700}, ggml.Q8_0, 0, 1e-2},
		{shape{64, 64, 4, 2, 7, 300}, ggml.F32, 0, tolerance},
		{shape{64, 64, 4, 2, 70, 300}, ggml.F32, 0, tolerance},
		{shape{128, 64, 4, 2, 3, 300}, ggml.F32, 0, tolerance},
		{shape{256, 256, 4, 4, 3, 300}, ggml.F32, 20, softTolerance},
		{shape{512, 512, 4, 1, 3, 300}, ggml.F32, 0, tolerance},
		{shape{512, 512, 2, 2, 1, 512}, ggml.F32, 30, softTolerance},
	} {
		rng := seeded(tt.keyDim, tt.rows)
		p := &problem{shape: tt.shape, typ: tt.typ, scale: Scores{Factor: float32(1 / math.Sqrt(float64(tt.keyDim))), SoftCap: tt.cap}}
		p.fill(t, rng)
		p.look(seeWindow, rng)
		p.sinks = normal(rng, p.heads, 2)
		p.prepare()
		want, _ := p.naive()
		q, k, v, spans := r.operands(p)
		s, mask := p.scale, r.mask(p)
		s.Sinks = r.tensor(ggml.F32, bytesOf(p.sinks), int64(p.heads))
		g, y := r.graph(func(g *ggml.Graph) (all []*ggml.Tensor) {
			all = append(all, g.Scale(On(r.device, Flash, isa.GGML).Graph(g, q, k, v, mask, s), 1))
			all = append(all, g.Scale(On(r.device, Eager, isa.GGML).Graph(g, q, k, v, mask, s), 1))
			for _, set := range kernelISAs() {
				all = append(all, g.Scale(On(r.device, Kernel, set).Graph(g, q, k, v, spans, s), 1))
			}
			return all
		})
		r.compute(g)
		for i, x := range y {
			bound := 2 * tt.tolerance // scores are larger than in the tests of the kernel
			if i >= 2 {
				bound = 2 * softTolerance
			}
			if d := distance(numbers(x), want); d > bound {
				t.Errorf("%v, soft cap %g: result %d of flash, eager and kernels differs by %g, want at most %g", p, tt.cap, i, d, bound)
			}
		}
	}
}

// mask returns the mask of what a problem's rows see.
func (r *rig) mask(p *problem) *ggml.Tensor {
	r.t.Helper()
	mask := make([]uint16, p.cells*p.rows)
	for i := range mask {
		mask[i] = 0xFC00 // -Inf
	}
	for row := range p.rows {
		for _, c := range p.seen(row) {
			mask[row*p.cells+c] = 0
		}
	}
	return r.tensor(ggml.F16, bytesOf(mask), int64(p.cells), int64(p.rows))
}

// The flash attention of GPUs takes no heads of 20 values, and CUDA's none of 512 that share no KV head:
// such layers are computed in three operations.
func TestFlashAttentionThatADeviceLacksIsEager(t *testing.T) {
	library, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := library.Device(cmp.Or(os.Getenv("EBB_TEST_DEVICE"), "vulkan0"))
	if err != nil {
		t.Skip("no device beside the CPU")
	}
	r := rigOn(t, d, 0)
	p := &problem{shape: shape{20, 20, 4, 2, 3, 256}, typ: ggml.F32, scale: Scores{Factor: 0.2}}
	p.fill(t, seeded(20))
	p.look(seeCausal, seeded(20))
	p.sinks = normal(seeded(21), p.heads, 2)
	p.prepare()
	want, _ := p.naive()
	q, k, v, _ := r.operands(p)
	s, mask := p.scale, r.mask(p)
	s.Sinks = r.tensor(ggml.F32, bytesOf(p.sinks), int64(p.heads))
	g, y := r.graph(func(g *ggml.Graph) []*ggml.Tensor {
		return []*ggml.Tensor{On(d, Flash, isa.GGML).Graph(g, q, k, v, mask, s)}
	})
	r.compute(g)
	if d := distance(numbers(y[0]), want); d > 5e-3 { // products in half precision
		t.Errorf("differs by %g", d)
	}
}
