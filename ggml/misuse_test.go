package ggml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each operation refuses operands that ggml would abort on, or get wrong.
func TestMisuseOfAnOperationPanicsWithTheOperands(t *testing.T) {
	b := openCPU(t, 0)
	ctx := NewContext(400)
	defer ctx.Close()
	x := func(t Type, ne ...int64) *Tensor { return ctx.New(t, ne...) }
	rope := RoPE{Dims: 64, Base: 10000, Scale: 1, Attn: 1}

	tests := []struct {
		op       string
		operands []*Tensor
		call     func(g *Graph, o []*Tensor)
	}{
		{"GetRows", []*Tensor{x(F32, 64, 9), x(F32, 3)}, func(g *Graph, o []*Tensor) { g.GetRows(o[0], o[1]) }},
		{"GetRows", []*Tensor{x(F32, 64, 9, 2), x(I32, 3)}, func(g *Graph, o []*Tensor) { g.GetRows(o[0], o[1]) }},
		{"GetRows", []*Tensor{x(F32, 64, 9), nil}, func(g *Graph, o []*Tensor) { g.GetRows(o[0], o[1]) }},
		{"SetRows", []*Tensor{x(F32, 64, 9), x(F32, 32, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"SetRows", []*Tensor{x(F32, 64, 9), x(F32, 64, 3), x(I64, 4)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"SetRows", []*Tensor{x(F32, 64, 9, 2), x(F32, 64, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"SetRows", []*Tensor{x(F32, 64, 9), x(BF16, 64, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"SetRows", []*Tensor{x(F32, 64, 9), x(F32, 64, 3), x(F32, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"SetRowsAt", []*Tensor{x(F32, 64, 3), x(I64, 4)}, func(g *Graph, o []*Tensor) { g.SetRowsAt(F16, o[0], o[1]) }},
		{"SetRowsAt", []*Tensor{x(F32, 64, 3), x(I32, 3)}, func(g *Graph, o []*Tensor) { g.SetRowsAt(F16, o[0], o[1]) }},
		{"SetRowsAt", []*Tensor{x(BF16, 64, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRowsAt(F16, o[0], o[1]) }},
		{"SetRowsAt", []*Tensor{x(F32, 48, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRowsAt(Q8_0, o[0], o[1]) }},
		{"SetRowsAt", []*Tensor{x(F32, 256, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRowsAt(IQ3_S, o[0], o[1]) }},
		{"SetRows", []*Tensor{x(I32, 64, 9), x(F32, 64, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"MulMat", []*Tensor{x(F32, 64, 9), x(F32, 32, 3)}, func(g *Graph, o []*Tensor) { g.MulMat(o[0], o[1]) }},
		{"MulMat", []*Tensor{x(F32, 64, 9, 2), x(F32, 64, 3, 3)}, func(g *Graph, o []*Tensor) { g.MulMat(o[0], o[1]) }},
		{"MulMat", []*Tensor{x(F32, 64, 9), x(F16, 64, 3)}, func(g *Graph, o []*Tensor) { g.MulMat(o[0], o[1]) }},
		{"MulMat", []*Tensor{x(I32, 64, 9), x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.MulMat(o[0], o[1]) }},
		{"MulMatPrecF32", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.MulMatPrecF32(o[0]) }},
		{"Add", []*Tensor{x(F32, 64, 3), x(F32, 64, 2)}, func(g *Graph, o []*Tensor) { g.Add(o[0], o[1]) }},
		{"Add", []*Tensor{x(F32, 64), x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Add(o[0], o[1]) }},
		{"Mul", []*Tensor{x(F32, 64), x(F16, 64)}, func(g *Graph, o []*Tensor) { g.Mul(o[0], o[1]) }},
		{"Scale", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.Scale(o[0], 2) }},
		{"ScaleBias", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.ScaleBias(o[0], 2, 1) }},
		{"Log", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.Log(o[0]) }},
		{"Floor", []*Tensor{x(I32, 64)}, func(g *Graph, o []*Tensor) { g.Floor(o[0]) }},
		{"RMSNorm", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.RMSNorm(o[0], 1e-5) }},
		{"RMSNorm", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.RMSNorm(o[0], -1) }},
		{"SiLU", []*Tensor{x(Q8_0, 64)}, func(g *Graph, o []*Tensor) { g.SiLU(o[0]) }},
		{"GELU", []*Tensor{x(I32, 64)}, func(g *Graph, o []*Tensor) { g.GELU(o[0]) }},
		{"Tanh", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.Tanh(o[0]) }},
		{"SwiGLU", []*Tensor{x(F32, 64), x(F32, 32)}, func(g *Graph, o []*Tensor) { g.SwiGLU(o[0], o[1]) }},
		{"GeGLU", []*Tensor{x(F32, 64), x(F16, 64)}, func(g *Graph, o []*Tensor) { g.GeGLU(o[0], o[1]) }},
		{"SwiGLUOAI", []*Tensor{x(F32, 64), x(F32, 32)}, func(g *Graph, o []*Tensor) { g.SwiGLUOAI(o[0], o[1], 1, 7) }},
		{"SwiGLUOAI", []*Tensor{x(F32, 64), x(F32, 64)}, func(g *Graph, o []*Tensor) { g.SwiGLUOAI(o[0], o[1], 1, -7) }},
		{"AddSinks", []*Tensor{x(F32, 64), x(F32, 64)}, func(g *Graph, o []*Tensor) { g.AddSinks(o[0], o[1]) }},
		{"AddSinks", []*Tensor{x(F32, 64), nil}, func(g *Graph, o []*Tensor) { g.AddSinks(o[0], o[1]) }},
		{"RoPE", []*Tensor{x(F32, 64, 2, 3), x(I32, 4), nil}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], rope) }},
		{"RoPE", []*Tensor{x(F32, 64, 2, 3), x(I64, 3), nil}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], rope) }},
		{"RoPE", []*Tensor{x(F32, 32, 2, 3), x(I32, 3), nil}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], rope) }},
		{"RoPE", []*Tensor{x(F32, 64, 2, 3), x(I32, 3), x(F32, 31)}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], rope) }},
		{"RoPE", []*Tensor{x(F32, 64, 2, 3), x(I32, 3), nil}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], RoPE{Dims: 63}) }},
		{"RoPE", []*Tensor{x(F32, 64, 2, 3), x(I32, 3), nil}, func(g *Graph, o []*Tensor) { g.RoPE(o[0], o[1], o[2], RoPE{Dims: 64, Mode: 1}) }},
		{"FlashAttn", []*Tensor{x(F32, 64, 1, 4), x(F16, 32, 9, 2), x(F16, 32, 9, 2), nil}, flash},
		{"FlashAttn", []*Tensor{x(F32, 64, 1, 4), x(F16, 64, 9, 2), x(F16, 64, 8, 2), nil}, flash},
		{"FlashAttn", []*Tensor{x(F32, 64, 1, 4), x(F16, 64, 9, 3), x(F16, 64, 9, 3), nil}, flash},
		{"FlashAttn", []*Tensor{x(F16, 64, 1, 4), x(F16, 64, 9, 2), x(F16, 64, 9, 2), nil}, flash},
		{"FlashAttn", []*Tensor{x(F32, 256, 1, 4), x(Q4_K, 256, 9, 2), x(Q4_K, 256, 9, 2), nil}, flash},
		{"FlashAttn", []*Tensor{x(F32, 64, 2, 4), x(F16, 64, 9, 2), x(F16, 64, 9, 2), x(F16, 9, 1)}, flash},
		{"FlashAttn", []*Tensor{x(F32, 64, 2, 4), x(F16, 64, 9, 2), x(F16, 64, 9, 2), x(F16, 16, 2)}, flash},
		{"FlashAttn", []*Tensor{x(F32, 64, 2, 4), x(F16, 64, 9, 2), x(F16, 64, 9, 2), x(F32, 9, 2)}, flash},
		{"SoftMax", []*Tensor{x(F16, 64, 3), nil}, func(g *Graph, o []*Tensor) { g.SoftMax(o[0], o[1], 1) }},
		{"SoftMax", []*Tensor{x(F32, 64, 3), x(F16, 64, 2)}, func(g *Graph, o []*Tensor) { g.SoftMax(o[0], o[1], 1) }},
		{"SoftMax", []*Tensor{x(F32, 64, 3), x(F16, 32, 3)}, func(g *Graph, o []*Tensor) { g.SoftMax(o[0], o[1], 1) }},
		{"SoftMax", []*Tensor{x(F32, 64, 3), x(I32, 64, 3)}, func(g *Graph, o []*Tensor) { g.SoftMax(o[0], o[1], 1) }},
		{"View1D", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.View1D(o[0], 64, 4) }},
		{"View1D", []*Tensor{x(Q8_0, 64)}, func(g *Graph, o []*Tensor) { g.View1D(o[0], 16, 0) }},
		{"View1D", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.View1D(o[0], 8, -4) }},
		{"View1D", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.View1D(o[0], 1<<62, 0) }},
		{"View1D", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.View1D(o[0], 8, 2) }},
		{"View2D", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.View2D(o[0], 64, 4, 256, 0) }},
		{"View2D", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.View2D(o[0], 1, 3, 1<<62, 0) }},
		{"View2D", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.View2D(o[0], 64, 4, 4, 0) }},
		{"View3D", []*Tensor{x(F32, 64, 3, 2)}, func(g *Graph, o []*Tensor) { g.View3D(o[0], 64, 3, 2, 256, 772, 0) }},
		{"View3D", []*Tensor{x(F32, 64, 3, 2)}, func(g *Graph, o []*Tensor) { g.View3D(o[0], 64, 3, 0, 256, 768, 0) }},
		{"Reshape2D", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Reshape2D(o[0], 64, 4) }},
		{"Reshape2D", []*Tensor{x(Q8_0, 64, 3)}, func(g *Graph, o []*Tensor) { g.Reshape2D(o[0], 16, 12) }},
		{"Reshape3D", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Reshape3D(o[0], 64, 3, 0) }},
		{"Permute", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Permute(o[0], 0, 1, 1, 3) }},
		{"Permute", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Permute(o[0], 0, 1, 2, 4) }},
		{"Permute", []*Tensor{x(Q8_0, 64, 3)}, func(g *Graph, o []*Tensor) { g.Permute(o[0], 1, 0, 2, 3) }},
		{"Transpose", []*Tensor{x(Q8_0, 64, 3)}, func(g *Graph, o []*Tensor) { g.Transpose(o[0]) }},
		{"Cont", []*Tensor{x(Q8_0, 64, 3)}, func(g *Graph, o []*Tensor) { g.Cont(o[0]) }},
		{"Cast", []*Tensor{x(Q8_0, 64, 3)}, func(g *Graph, o []*Tensor) { g.Cast(o[0], F16) }},
		{"Cast", []*Tensor{x(F32, 16, 3)}, func(g *Graph, o []*Tensor) { g.Cast(o[0], Q8_0) }},
		{"Cast", []*Tensor{x(F32, 256, 3)}, func(g *Graph, o []*Tensor) { g.Cast(o[0], IQ2_XS) }},
		{"SetRows", []*Tensor{x(IQ3_S, 256, 9), x(F32, 256, 3), x(I64, 3)}, func(g *Graph, o []*Tensor) { g.SetRows(o[0], o[1], o[2]) }},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4), x(F32, 32, 1, 3), x(I32, 2, 3)}, mulMatID},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4), x(F32, 64, 1, 3), x(I32, 2, 4)}, mulMatID},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4), x(F32, 64, 3, 3), x(I32, 2, 3)}, mulMatID},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4), x(F16, 64, 1, 3), x(I32, 2, 3)}, mulMatID},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4), x(F32, 64, 1, 3), x(I64, 2, 3)}, mulMatID},
		{"MulMatID", []*Tensor{x(F32, 64, 9, 4, 2), x(F32, 64, 1, 3), x(I32, 2, 3)}, mulMatID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F32, 32, 4), x(I32, 2, 3)}, addID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F32, 64, 4), x(I32, 3, 3)}, addID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F32, 64, 4), x(I32, 2, 2)}, addID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F16, 64, 4), x(I32, 2, 3)}, addID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F32, 64, 4), x(I64, 2, 3)}, addID},
		{"AddID", []*Tensor{x(F32, 64, 2, 3), x(F32, 64, 4, 2), x(I32, 2, 3)}, addID},
		{"TopK", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.TopK(o[0], 65) }},
		{"TopK", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.TopK(o[0], 0) }},
		{"TopK", []*Tensor{x(F16, 64, 3)}, func(g *Graph, o []*Tensor) { g.TopK(o[0], 1) }},
		{"SumRows", []*Tensor{x(F16, 64, 3)}, func(g *Graph, o []*Tensor) { g.SumRows(o[0]) }},
		{"Clamp", []*Tensor{x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Clamp(o[0], 1, 0) }},
		{"Clamp", []*Tensor{x(I32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Clamp(o[0], 0, 1) }},
		{"Div", []*Tensor{x(F32, 64, 3), x(F32, 64, 2)}, func(g *Graph, o []*Tensor) { g.Div(o[0], o[1]) }},
		{"Sigmoid", []*Tensor{x(F16, 64)}, func(g *Graph, o []*Tensor) { g.Sigmoid(o[0]) }},
		{"Concat", []*Tensor{x(F32, 64, 3), x(F32, 64, 3, 2)}, func(g *Graph, o []*Tensor) { g.Concat(o[0], o[1], 1) }},
		{"Concat", []*Tensor{x(F32, 64, 3), x(F16, 64, 3)}, func(g *Graph, o []*Tensor) { g.Concat(o[0], o[1], 1) }},
		{"Concat", []*Tensor{x(F32, 64, 3), x(F32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Concat(o[0], o[1], 4) }},
		{"Cpy", []*Tensor{x(F32, 64, 3), x(F32, 64, 2)}, func(g *Graph, o []*Tensor) { g.Cpy(o[0], o[1]) }},
		{"Cpy", []*Tensor{x(F32, 64, 3), x(I32, 64, 3)}, func(g *Graph, o []*Tensor) { g.Cpy(o[0], o[1]) }},
		{"Custom", []*Tensor{x(F32, 64), nil}, func(g *Graph, o []*Tensor) { g.Custom(F32, [4]int64{1, 1, 1, 1}, 1, CustomParams{}, o...) }},
		{"Custom", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.Custom(F32, [4]int64{1, 1, 1, 1}, 0, CustomParams{}, o...) }},
		{"Custom", []*Tensor{x(F32, 64)}, func(g *Graph, o []*Tensor) { g.Custom(F32, [4]int64{1, 0, 1, 1}, 1, CustomParams{}, o...) }},
		{"Custom", []*Tensor{x(F32, 1), x(F32, 2), x(F32, 3), x(F32, 4), x(F32, 5), x(F32, 6), x(F32, 7)}, func(g *Graph, o []*Tensor) { g.Custom(F32, [4]int64{1, 1, 1, 1}, 1, CustomParams{}, o...) }},
	}
	g := b.NewGraph(len(tests))
	defer g.Close()
	for _, tt := range tests {
		e := panicOf(t, func() { tt.call(g, tt.operands) })
		var want []string
		for _, o := range tt.operands {
			want = append(want, o.String())
		}
		if e.Op != tt.op || e.Reason == "" {
			t.Errorf("got %q from %q, want a reason from %s", e.Reason, e.Op, tt.op)
		}
		if d := cmp.Diff(e.Operands, want); d != "" {
			t.Errorf("%v (-got +want):\n%s", e, d)
		}
		for _, w := range append(want, tt.op, e.Reason) {
			if !strings.Contains(e.Error(), w) {
				t.Errorf("%q does not say %q", e, w)
			}
		}
	}
}

func mulMatID(g *Graph, o []*Tensor) { g.MulMatID(o[0], o[1], o[2]) }

func addID(g *Graph, o []*Tensor) { g.AddID(o[0], o[1], o[2]) }

// Sinks are one number for each head, and are added once.
func TestSinksThatDoNotFitPanic(t *testing.T) {
	b := openCPU(t, 0)
	ctx := NewContext(8)
	defer ctx.Close()
	g := b.NewGraph(8)
	defer g.Close()
	scores, three, four := ctx.New(F32, 64, 2, 3), ctx.New(F32, 3), ctx.New(F32, 4)
	q, k := ctx.New(F32, 64, 2, 4), ctx.New(F16, 64, 9, 2)
	soft, fused := g.SoftMax(scores, nil, 1), g.FlashAttn(q, k, k, nil, 1, 0)
	for name, call := range map[string]func(){
		"4 of a softmax of 3 heads": func() { g.AddSinks(soft, four) },
		"3 of attention of 4 heads": func() { g.AddSinks(fused, three) },
		"f16":                       func() { g.AddSinks(soft, ctx.New(F16, 3)) },
		"twice":                     func() { g.AddSinks(g.AddSinks(fused, four), four) },
	} {
		if e := panicOf(t, call); e.Op != "AddSinks" || len(e.Operands) != 2 {
			t.Errorf("%s: got %v, want a panic of AddSinks with its operands", name, e)
		}
	}
}

func flash(g *Graph, o []*Tensor) { g.FlashAttn(o[0], o[1], o[2], o[3], 1, 0) }

// Rows that lie apart in memory element by element fit no kernel.
func TestTransposedOperandsPanic(t *testing.T) {
	b := openCPU(t, 0)
	ctx := NewContext(4)
	defer ctx.Close()
	square, ids, mask := ctx.New(F32, 8, 8), ctx.New(I32, 8), ctx.New(F16, 8, 8)
	g := b.NewGraph(64)
	defer g.Close()
	tr := g.Transpose(square)
	k := g.Transpose(ctx.New(F32, 8, 8))
	tests := map[string]func(){
		"GetRows":   func() { g.GetRows(tr, ids) },
		"SetRows":   func() { g.SetRows(tr, square, ids) },
		"MulMat":    func() { g.MulMat(tr, square) },
		"Add":       func() { g.Add(tr, square) },
		"Mul":       func() { g.Mul(square, tr) },
		"Scale":     func() { g.Scale(tr, 2) },
		"RMSNorm":   func() { g.RMSNorm(tr, 0) },
		"SiLU":      func() { g.SiLU(tr) },
		"GELU":      func() { g.GELU(tr) },
		"Tanh":      func() { g.Tanh(tr) },
		"SwiGLU":    func() { g.SwiGLU(square, tr) },
		"GeGLU":     func() { g.GeGLU(tr, square) },
		"RoPE":      func() { g.RoPE(tr, g.View1D(ids, 1, 0), nil, RoPE{Dims: 8}) },
		"FlashAttn": func() { g.FlashAttn(square, k, square, mask, 1, 0) },
		"SoftMax":   func() { g.SoftMax(tr, nil, 1) },
		"View1D":    func() { g.View1D(tr, 8, 0) },
		"Reshape2D": func() { g.Reshape2D(tr, 4, 16) },
	}
	for op, f := range tests {
		e := panicOf(t, f)
		if e.Op != op || !strings.Contains(e.Error(), "strides [32 4 ") && op != "RoPE" {
			t.Errorf("got %v, want a panic of %s that shows strides", e, op)
		}
	}
}

// Devices other than the CPU ignore the gap between the heads of a cache.
func TestMulMatOfMatricesWithGapsPanicsExceptOnTheCPU(t *testing.T) {
	cpu := openCPU(t, 0)
	ctx := NewContext(2)
	defer ctx.Close()
	k, q := ctx.New(F32, 64, 128, 3), ctx.New(F32, 64, 7, 3)
	gap := func(b *Backend) {
		g := b.NewGraph(4)
		defer g.Close()
		g.MulMat(g.View3D(k, 64, 70, 3, k.Nb(1), k.Nb(2), 0), q)
	}
	gap(cpu)
	other := &Backend{dev: &Device{name: "vulkan0", typ: GPU, lib: cpu.dev.lib}}
	e := panicOf(t, func() { gap(other) })
	if len(e.Operands) != 2 || !strings.Contains(e.Operands[0], "f32 [64 70 3 1] strides [4 256 32768 98304]") {
		t.Errorf("got %v", e)
	}
}

func TestTooManyTensorsPanicWithTheCount(t *testing.T) {
	b := openCPU(t, 0)
	ctx := NewContext(1)
	defer ctx.Close()
	x := ctx.New(F32, 4)
	if e := panicOf(t, func() { ctx.New(F32, 4) }); !strings.Contains(e.Reason, "made for 1 tensors") {
		t.Errorf("context: %v", e)
	}
	g := b.NewGraph(1)
	defer g.Close()
	g.Scale(x, 1)
	if e := panicOf(t, func() { g.Scale(x, 1) }); !strings.Contains(e.Reason, "made for 1 tensors") {
		t.Errorf("graph: %v", e)
	}
}

func TestShapesThatNoTensorHasPanic(t *testing.T) {
	if _, err := Load(); err != nil {
		t.Fatal(err)
	}
	ctx := NewContext(8)
	tests := map[string]func(){
		"no dimension":   func() { ctx.New(F32) },
		"five":           func() { ctx.New(F32, 1, 1, 1, 1, 1) },
		"zero":           func() { ctx.New(F32, 0) },
		"negative":       func() { ctx.New(F32, 4, -1) },
		"overflow":       func() { ctx.New(F32, 1<<40, 1<<40) },
		"part of a unit": func() { ctx.New(Q4_0, 33) },
		"unknown type":   func() { ctx.New(Type(99), 4) },
	}
	for name, f := range tests {
		if e := panicOf(t, f); e.Op != "New" {
			t.Errorf("%s: got %v", name, e)
		}
	}
	ctx.Close()
	ctx.Close()
	if e := panicOf(t, func() { ctx.New(F32, 1) }); !strings.Contains(e.Reason, "closed") {
		t.Errorf("got %v", e)
	}
}
