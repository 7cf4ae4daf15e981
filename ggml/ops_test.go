package ggml

import (
	"math"
	"slices"
	"testing"
)

func TestOperationsEqualReference(t *testing.T) {
	a, b, row := random(1, 64*3), random(2, 64*3), random(3, 64)
	heads := random(4, 16*2*3) // [16, 2, 3]
	factors := []float32{1, 1.5, 2, 3, 4, 5, 6, 7}
	pos := []int32{0, 5, 300}
	rope := RoPE{Dims: 16, Mode: ModeNormal, Base: 10000, Scale: 1, Attn: 1, BetaFast: 32, BetaSlow: 1}
	neox, part := rope, rope
	neox.Mode = ModeNeoX
	part.Dims = 8
	mask := make([]float32, 64*3)
	for i := range mask {
		if i%64 > 20+i/64 {
			mask[i] = float32(math.Inf(-1))
		}
	}
	sunk := func(head int) []float32 { // the softmax of a row with a sink: one more score, which is not scaled
		return refSoftMax(append(slices.Clone(a[64*head:][:64]), 2*row[head]), nil, 65, 0.5)[:64]
	}
	// The CPU looks GELU up in a table of float16.
	const tableError = 2e-3

	tests := []struct {
		name  string
		build func(r *rig, g *Graph) *Tensor
		want  []float32
		tol   float64 // 0: the device's
	}{
		{
			"GetRows", func(r *rig, g *Graph) *Tensor { return g.GetRows(r.floats(a, 64, 3), r.int32s(2, 0, 2)) },
			append(append(append([]float32(nil), a[128:]...), a[:64]...), a[128:]...), 0,
		},
		{
			"MulMat", func(r *rig, g *Graph) *Tensor { return g.MulMat(r.floats(a, 64, 3), r.floats(b, 64, 3)) },
			refMulMat(a, b, 64), 0,
		},
		{"MulMatPrecF32", func(r *rig, g *Graph) *Tensor {
			return g.MulMatPrecF32(g.MulMat(r.floats(a, 64, 3), r.floats(b, 64, 3)))
		}, refMulMat(a, b, 64), 0},
		{
			"Add", func(r *rig, g *Graph) *Tensor { return g.Add(r.floats(a, 64, 3), r.floats(b, 64, 3)) },
			refEach(a, b, func(a, b float64) float64 { return a + b }), 0,
		},
		{
			"AddRow", func(r *rig, g *Graph) *Tensor { return g.Add(r.floats(a, 64, 3), r.floats(row, 64)) },
			refEach(a, row, func(a, b float64) float64 { return a + b }), 0,
		},
		{
			"MulRow", func(r *rig, g *Graph) *Tensor { return g.Mul(r.floats(a, 64, 3), r.floats(row, 64)) },
			refEach(a, row, func(a, b float64) float64 { return a * b }), 0,
		},
		{
			"Scale", func(r *rig, g *Graph) *Tensor { return g.Scale(r.floats(a, 64, 3), -2.5) },
			refMap(a, func(a float64) float64 { return -2.5 * a }), 0,
		},
		{
			"ScaleBias", func(r *rig, g *Graph) *Tensor { return g.ScaleBias(r.floats(a, 64, 3), -2.5, 0.5) },
			refMap(a, func(a float64) float64 { return -2.5*a + 0.5 }), 0,
		},
		{"Floor", func(r *rig, g *Graph) *Tensor { return g.Floor(r.floats(a, 64, 3)) }, refMap(a, math.Floor), 0},
		{
			"Log", func(r *rig, g *Graph) *Tensor { return g.Log(g.ScaleBias(r.floats(factors, 8), 1, 1)) },
			refMap(factors, math.Log1p), 0,
		},
		{"Cast of positions", func(r *rig, g *Graph) *Tensor { return g.Cast(r.int32s(pos...), F32) }, []float32{0, 5, 300}, 0},
		{
			"RMSNorm", func(r *rig, g *Graph) *Tensor { return g.RMSNorm(r.floats(a, 64, 3), 1e-5) },
			refRMSNorm(a, 64, 1e-5), 0,
		},
		{"SiLU", func(r *rig, g *Graph) *Tensor { return g.SiLU(r.floats(a, 64, 3)) }, refMap(a, refSiLU), 0},
		{"GELU", func(r *rig, g *Graph) *Tensor { return g.GELU(r.floats(a, 64, 3)) }, refMap(a, refGELU), tableError},
		{"Tanh", func(r *rig, g *Graph) *Tensor { return g.Tanh(r.floats(a, 64, 3)) }, refMap(a, math.Tanh), 0},
		{
			"SwiGLU", func(r *rig, g *Graph) *Tensor { return g.SwiGLU(r.floats(a, 64, 3), r.floats(b, 64, 3)) },
			refEach(a, b, func(a, b float64) float64 { return refSiLU(a) * b }), 0,
		},
		{
			"SwiGLUOAI", func(r *rig, g *Graph) *Tensor { return g.SwiGLUOAI(r.floats(a, 64, 3), r.floats(b, 64, 3), 1.702, 0.5) },
			refEach(a, b, func(a, b float64) float64 {
				a, b = min(a, 0.5), min(max(b, -0.5), 0.5)
				return a / (1 + math.Exp(-1.702*a)) * (b + 1)
			}), 0,
		},
		{
			"GeGLU", func(r *rig, g *Graph) *Tensor { return g.GeGLU(r.floats(a, 64, 3), r.floats(b, 64, 3)) },
			refEach(a, b, func(a, b float64) float64 { return refGELU(a) * b }), tableError,
		},
		{"RoPE normal", func(r *rig, g *Graph) *Tensor {
			return g.RoPE(r.floats(heads, 16, 2, 3), r.int32s(pos...), nil, rope)
		}, refRoPE(heads, 16, 2, pos, nil, rope), 5e-5},
		{"RoPE neox with factors", func(r *rig, g *Graph) *Tensor {
			return g.RoPE(r.floats(heads, 16, 2, 3), r.int32s(pos...), r.floats(factors, 8), neox)
		}, refRoPE(heads, 16, 2, pos, factors, neox), 5e-5},
		{"RoPE of half a head", func(r *rig, g *Graph) *Tensor {
			return g.RoPE(r.floats(heads, 16, 2, 3), r.int32s(pos...), nil, part)
		}, refRoPE(heads, 16, 2, pos, nil, part), 5e-5},
		{
			"SoftMax", func(r *rig, g *Graph) *Tensor { return g.SoftMax(r.floats(a, 64, 3), nil, 0.5) },
			refSoftMax(a, nil, 64, 0.5), 0,
		},
		{"SoftMax with sinks", func(r *rig, g *Graph) *Tensor {
			return g.AddSinks(g.SoftMax(r.floats(a, 64, 1, 3), nil, 0.5), r.floats(row[:3], 3))
		}, slices.Concat(sunk(0), sunk(1), sunk(2)), 0},
		{"SoftMax with mask", func(r *rig, g *Graph) *Tensor {
			m, _ := r.values(F16, mask, 64, 3)
			return g.SoftMax(r.floats(a, 64, 3), m, 0.5)
		}, refSoftMax(a, mask, 64, 0.5), 0},
		{"View1D", func(r *rig, g *Graph) *Tensor { return g.Cont(g.View1D(r.floats(a, 64, 3), 64, 256)) }, a[64:128], 0},
		{
			"View2D", func(r *rig, g *Graph) *Tensor { return g.Cont(g.View2D(r.floats(a, 64, 3), 2, 2, 256, 16)) },
			[]float32{a[4], a[5], a[68], a[69]},
			0,
		},
		{
			"View3D", func(r *rig, g *Graph) *Tensor { return g.Cont(g.View3D(r.floats(a, 64, 3), 1, 2, 2, 256, 8, 0)) },
			[]float32{a[0], a[64], a[2], a[66]},
			0,
		},
		{"Reshape2D", func(r *rig, g *Graph) *Tensor { return g.Scale(g.Reshape2D(r.floats(a, 64, 3), 3, 64), 1) }, a, 0},
		{"Reshape3D", func(r *rig, g *Graph) *Tensor { return g.Scale(g.Reshape3D(r.floats(a, 64, 3), 3, 8, 8), 1) }, a, 0},
		{
			"Permute", func(r *rig, g *Graph) *Tensor { return g.Cont(g.Permute(r.floats(row, 2, 4, 8), 0, 2, 1, 3)) },
			permuted(row), 0,
		},
		{
			"Transpose", func(r *rig, g *Graph) *Tensor { return g.Cont(g.Transpose(r.floats(row[:6], 3, 2))) },
			[]float32{row[0], row[3], row[1], row[4], row[2], row[5]},
			0,
		},
		{"Cast and back", func(r *rig, g *Graph) *Tensor { return g.Cast(g.Cast(r.floats(a, 64, 3), F16), F32) }, a, 1e-3},
		{"Cast from Q8_0", func(r *rig, g *Graph) *Tensor {
			x, _ := r.values(Q8_0, a, 64, 3)
			return g.Cast(x, F32)
		}, a, 1e-2},
		{"Cast of a view with gaps", func(r *rig, g *Graph) *Tensor {
			x, _ := r.values(Q8_0, a, 32, 3, 2)
			return g.Cast(g.View3D(x, 32, 2, 2, x.Nb(1), x.Nb(2), 0), F32)
		}, append(append([]float32(nil), a[:64]...), a[96:160]...), 1e-2},
		{"Cont of a view with gaps", func(r *rig, g *Graph) *Tensor {
			x, _ := r.values(BF16, a, 32, 3, 2)
			return g.Cast(g.Cont(g.View3D(x, 32, 2, 2, x.Nb(1), x.Nb(2), 0)), F32)
		}, append(append([]float32(nil), a[:64]...), a[96:160]...), 1e-2},
		{
			"Concat rows", func(r *rig, g *Graph) *Tensor { return g.Concat(r.floats(a, 64, 3), r.floats(row, 64), 1) },
			append(append([]float32(nil), a...), row...), 0,
		},
		{
			"Concat columns", func(r *rig, g *Graph) *Tensor { return g.Concat(r.floats(row[:2], 1, 2), r.floats(row[2:6], 2, 2), 0) },
			[]float32{row[0], row[2], row[3], row[1], row[4], row[5]},
			0,
		},
		{"Cpy", func(r *rig, g *Graph) *Tensor { return g.Cpy(r.floats(a, 64, 3), r.tensor(F32, 3, 64)) }, a, 0},
	}
	onDevices(t, func(t *testing.T, b *Backend) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := newRig(t, b)
				got := r.compute(func(g *Graph) *Tensor { return tt.build(r, g) })
				if d, tol := distance(got, tt.want), max(tt.tol, tolerance(b)); d > tol {
					t.Errorf("differs by %g, more than %g\ngot  %v\nwant %v", d, tol, head(got), head(tt.want))
				}
			})
		}
	})
}

// permuted is x [2, 4, 8] with dimensions 1 and 2 exchanged.
func permuted(x []float32) []float32 {
	var y []float32
	for i := range 4 {
		for j := range 8 {
			y = append(y, x[j*8+i*2], x[j*8+i*2+1])
		}
	}
	return y
}

func head(s []float32) []float32 { return s[:min(len(s), 8)] }

// weightTypes are the types of weights besides f32.
var weightTypes = []Type{
	F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K,
	IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ4_NL, IQ4_XS, MXFP4,
}

// A CPU product with quantized weights rounds the activations to 8 bits.
func TestMulMatOfQuantizedWeightsEqualsReference(t *testing.T) {
	b := openCPU(t, 0)
	for _, typ := range weightTypes {
		t.Run(typ.String(), func(t *testing.T) {
			r := newRig(t, b)
			w, kept := r.weights(typ, 256, 4)
			x := random(2, 256*3)
			got := r.compute(func(g *Graph) *Tensor { return g.MulMat(w, r.floats(x, 256, 3)) })
			if d := distance(got, refMulMat(kept, x, 256)); d > 2e-2 {
				t.Errorf("differs by %g, more than 2e-2", d)
			}
		})
	}
}
