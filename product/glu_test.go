package product

import (
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// gluTests have each unit in float64 and as ggml's operation.
var gluTests = []struct {
	name string
	glu  GLU
	of   func(gate, up float64) float64
	ggml func(g *ggml.Graph, gate, up *ggml.Tensor) *ggml.Tensor

	error     float64 // the largest relative one
	ggmlError float64 // and that of ggml
}{
	// Of powers: roundings of the exponent, which is as large as 126, and what the polynomial adds.
	{"SiLU", SiLU, func(g, u float64) float64 { return g / (1 + math.Exp(-g)) * u }, (*ggml.Graph).SwiGLU, 130 * 0x1p-24, 4e-6},
	// ggml's GELU is a table of numbers of half precision.
	{"GELU", GELU, func(g, u float64) float64 {
		y := math.Sqrt(2/math.Pi) * (g + 0.044715*g*g*g)
		return g / (1 + math.Exp(-2*y)) * u
	}, (*ggml.Graph).GeGLU, 4 * 130 * 0x1p-24, 0x1p-10},
	{"ClampedSiLU", ClampedSiLU, func(g, u float64) float64 {
		g, u = min(g, 7), max(min(u, 7), -7)
		return g / (1 + math.Exp(-1.702*g)) * (u + 1)
	}, func(g *ggml.Graph, gate, up *ggml.Tensor) *ggml.Tensor { return g.SwiGLUOAI(gate, up, 1.702, 7) }, 130 * 0x1p-24, 4e-6},
}

func TestGatedLinearUnitsAreExact(t *testing.T) {
	for _, test := range gluTests {
		worst := 0.0
		for x := -86.0; x < 90; x += 0.0137 {
			g := float32(x)
			want := test.of(float64(g), 1.5)
			if math.Abs(want) > 0x1p-110 { // the power is at most 2^127
				worst = max(worst, math.Abs(float64(test.glu.of(g, 1.5))-want)/math.Abs(want))
			}
		}
		if worst > test.error {
			t.Errorf("%s: largest relative error %g, want at most %g", test.name, worst, test.error)
		}
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		for _, v := range [][2]float32{{0, 0}, {1e18, 1e18}, {nan, nan}, {inf, inf}} {
			want := float32(test.of(float64(v[0]), 1))
			if got := test.glu.of(v[0], 1); !same(got, want) && math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
				t.Errorf("%s of %g is %g, want %g", test.name, v[0], got, want)
			}
		}
		if got := test.glu.of(-1e4, 1); got > 0 || got < -1e-30 {
			t.Errorf("%s of -1e4 is %g, want about -0", test.name, got)
		}
		if got := test.glu.of(1, nan); got == got {
			t.Errorf("%s of 1 and NaN is %g, want NaN", test.name, got)
		}
	}
}

// What a graph computes where gate and up cannot be one operation is the same within float error.
func TestGatedLinearUnitsAreGGMLs(t *testing.T) {
	r := newRig(t, 1)
	const n = 4096
	gate, up := make([]float32, n), make([]float32, n)
	for i := range gate {
		gate[i], up[i] = float32(i-n/2)/128, float32(i%37-18)/2
	}
	for _, test := range gluTests {
		theirs := r.numbers(func(g *ggml.Graph) []*ggml.Tensor {
			return []*ggml.Tensor{test.ggml(g, r.floats(gate, n), r.floats(up, n))}
		})[0]
		for i, want := range theirs {
			got := test.glu.of(gate[i], up[i])
			// Where tanh is near -1, what is left of its sum with 1 is rounded to 2^-24.
			if math.Abs(float64(got-want)) > test.ggmlError*math.Abs(float64(want))+0x1p-24*math.Abs(float64(gate[i]*up[i])) {
				t.Fatalf("%s of %g and %g is %g, ggml's is %g", test.name, gate[i], up[i], got, want)
			}
		}
	}
}

// Machine code gives the units' bits for any numbers. Weights of 0 leave the biases, of which each block
// of 32 has one number.
func TestGatedLinearUnitsOfOddNumbers(t *testing.T) {
	odd := []float32{0, float32(math.Copysign(0, -1)), 0x1p-149, -0x1p-130, 1e-20, -1e-3, 0.5, -1, 3, -5.5, 6.999, 7, 7.001, -7, -7.001, 12, -14, 60, -87, 89, 1e4, -1e4, 1e18, -1e19, 1e20, 3e38, -3e38}
	odd = append(odd, oddities...)
	const in = 32
	var gate, up []float32
	for _, g := range odd {
		for _, u := range odd {
			for range Rows {
				gate, up = append(gate, g), append(up, u)
			}
		}
	}
	rows := len(gate)
	w := matrixOf(ggml.Q8_0, in, rows, make([]byte, int64(rows)*ggml.Q8_0.RowSize(in)))
	eachISA(t, func(t *testing.T, set isa.ISA) {
		r := newRig(t, 1)
		for _, test := range gluTests {
			for _, tokens := range []int{1, 9} {
				r.reset()
				m := r.machine(set, 2)
				values := gated(test.glu, gate, up)
				var all []float32
				for range tokens {
					all = append(all, values...)
				}
				if err := sameTokens(m.gated(test.glu, w, w, gate, up, m.quantise(input(0, in*tokens), in)), m.quantise(all, rows)); err != nil {
					t.Errorf("%s, %d tokens: %v", test.name, tokens, err)
				}
			}
		}
	})
}
