package product

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// What has no kernel, or does not fit, is not taken.
func TestTakesWhatThereAreFormatsFor(t *testing.T) {
	r := newRig(t, 1)
	p := On(r.device, isa.Go)
	for _, typ := range types {
		unit := formats[typ].values
		for _, shape := range [][2]int64{{unit, 32}, {3 * unit, 96}, {2048, 576}} {
			if !p.Takes(typ, shape[0], shape[1]) {
				t.Errorf("%v %v is not taken", typ, shape)
			}
		}
		for _, shape := range [][2]int64{{unit / 2, 32}, {unit + 16, 32}, {unit, 31}, {unit, 48}, {0, 32}, {unit, 0}, {-unit, 32}, {unit, -32}} {
			if p.Takes(typ, shape[0], shape[1]) {
				t.Errorf("%v %v is taken", typ, shape)
			}
		}
	}
	for _, typ := range []ggml.Type{ggml.F32, ggml.F16, ggml.BF16, ggml.I32, ggml.IQ1_S, 1000} {
		if p.Takes(typ, 256, 32) {
			t.Errorf("%v is taken", typ)
		}
	}
	for name, p := range map[string]Products{"the zero value": {}, "EBB_ISA=ggml": On(r.device, isa.GGML)} {
		if p.Any() || p.Takes(ggml.Q4_0, 256, 32) {
			t.Errorf("%s has products", name)
		}
	}
}

func TestOperandsThatDoNotFitPanic(t *testing.T) {
	r := newRig(t, 1)
	p := On(r.device, isa.Go)
	x := func(typ ggml.Type, ne ...int64) *ggml.Tensor { return r.meta.New(typ, ne...) }
	good, w := x(ggml.F32, 256, 3), x(ggml.Q4_K, 256, 64)
	gateUp := func(glu GLU, gate, up Half, rows int64) func(g *ggml.Graph) {
		return func(g *ggml.Graph) { p.GateUp(g, glu, gate, up, rows, p.Quantise(g, good)) }
	}
	tests := map[string]func(g *ggml.Graph){
		"f16 values":               func(g *ggml.Graph) { p.Quantise(g, x(ggml.F16, 256, 3)) },
		"40 values":                func(g *ggml.Graph) { p.Quantise(g, x(ggml.F32, 40, 3)) },
		"no values":                func(g *ggml.Graph) { p.Quantise(g, nil) },
		"values with gaps":         func(g *ggml.Graph) { p.Quantise(g, g.Permute(x(ggml.F32, 64, 64), 1, 0, 2, 3)) },
		"no kernels":               func(g *ggml.Graph) { Products{}.Quantise(g, good) },
		"a norm of fewer values":   func(g *ggml.Graph) { p.NormQuantise(g, good, x(ggml.F32, 128), 1e-5) },
		"an f16 norm":              func(g *ggml.Graph) { p.NormQuantise(g, good, x(ggml.F16, 256), 1e-5) },
		"weights of no format":     func(g *ggml.Graph) { p.Product(g, x(ggml.F16, 256, 64), p.Quantise(g, good), nil) },
		"48 rows":                  func(g *ggml.Graph) { p.Product(g, x(ggml.Q4_K, 256, 48), p.Quantise(g, good), nil) },
		"weights of other rows":    func(g *ggml.Graph) { p.Product(g, x(ggml.Q4_K, 512, 64), p.Quantise(g, good), nil) },
		"several matrices":         func(g *ggml.Graph) { p.Product(g, x(ggml.Q4_K, 256, 64, 2), p.Quantise(g, good), nil) },
		"a residual of fewer rows": func(g *ggml.Graph) { p.Product(g, w, p.Quantise(g, good), x(ggml.F32, 32, 3)) },
		"a residual of two tokens": func(g *ggml.Graph) { p.Product(g, w, p.Quantise(g, good), x(ggml.F32, 64, 2)) },
		"an f16 residual":          func(g *ggml.Graph) { p.Product(g, w, p.Quantise(g, good), x(ggml.F16, 64, 3)) },
		"48 rows of a gate":        gateUp(SiLU, Half{Weight: w}, Half{Weight: w}, 48),
		"rows from 16 on":          gateUp(SiLU, Half{Weight: w, Row: 16}, Half{Weight: w}, 32),
		"rows past the last":       gateUp(SiLU, Half{Weight: w}, Half{Weight: w, Row: 32}, 64),
		"rows before the first":    gateUp(SiLU, Half{Weight: w, Row: -32}, Half{Weight: w}, 64),
		"no rows":                  gateUp(SiLU, Half{Weight: w}, Half{Weight: w}, 0),
		"a gate of other rows":     gateUp(SiLU, Half{Weight: x(ggml.Q4_K, 512, 64)}, Half{Weight: w}, 64),
		"no gated linear unit":     gateUp(glus, Half{Weight: w}, Half{Weight: w}, 64),
		"a bias of the gate alone": gateUp(SiLU, Half{Weight: w, Bias: x(ggml.F32, 64)}, Half{Weight: w}, 64),
		"a bias of fewer rows":     gateUp(SiLU, Half{Weight: w, Bias: x(ggml.F32, 32)}, Half{Weight: w, Bias: x(ggml.F32, 64)}, 64),
		"an f16 bias":              gateUp(SiLU, Half{Weight: w, Bias: x(ggml.F32, 64)}, Half{Weight: w, Bias: x(ggml.F16, 64)}, 64),
		"33 products of one input": func(g *ggml.Graph) {
			a := p.Quantise(g, good)
			for range counters + 1 {
				p.Product(g, w, a, nil)
			}
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if e, ok := recover().(*ggml.ShapeError); !ok || len(e.Operands) == 0 {
					t.Errorf("got %v, want a panic with the operands", e)
				}
			}()
			g := r.backend.NewGraph(64)
			defer g.Close()
			build(g)
		})
	}
}

// Operations read struct ggml_tensor by themselves.
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
