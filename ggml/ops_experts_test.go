package ggml

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refMulMatID is w [in, out, matrices] times x [in, 2 or 1, tokens] by ids [2, tokens].
func refMulMatID(w, x []float32, ids []int32, in, out int) []float32 {
	const used = 2
	var y []float32
	tokens := len(ids) / used
	rows := len(x) / in / tokens // of a token
	for i, id := range ids {
		row := x[(i/used*rows+i%used%rows)*in:][:in]
		y = append(y, refMulMat(w[int(id)*in*out:][:in*out], row, in)...)
	}
	return y
}

// refAddID is x, rows of n numbers, with the rows of b added that ids lists.
func refAddID(x, b []float32, ids []int32, n int) []float32 {
	y := slices.Clone(x)
	for i, id := range ids {
		for j := range n {
			y[i*n+j] += b[int(id)*n+j]
		}
	}
	return y
}

func TestOperationsOfExpertsEqualReference(t *testing.T) {
	a, b := random(1, 64*3), random(2, 64*3)
	w := random(3, 32*16*5) // [in, out, matrices]
	shared, own := random(4, 32*3), random(5, 32*2*3)
	ids := []int32{4, 0, 1, 1, 3, 2} // of 2 of 5 matrices for each of 3 tokens
	idsOf := func(r *rig) *Tensor {
		x := r.tensor(I32, 2, 3)
		SetSlice(x, ids, 0)
		return x
	}
	sums := make([]float32, 3)
	for i, x := range a {
		sums[i/64] += x
	}
	tests := []struct {
		name  string
		build func(r *rig, g *Graph) *Tensor
		want  []float32
		tol   float64 // 0: the device's
	}{
		{"MulMatID of one row a token", func(r *rig, g *Graph) *Tensor {
			return g.MulMatID(r.floats(w, 32, 16, 5), r.floats(shared, 32, 1, 3), idsOf(r))
		}, refMulMatID(w, shared, ids, 32, 16), 0},
		{"MulMatID of a row a matrix", func(r *rig, g *Graph) *Tensor {
			return g.MulMatID(r.floats(w, 32, 16, 5), r.floats(own, 32, 2, 3), idsOf(r))
		}, refMulMatID(w, own, ids, 32, 16), 0},
		{"AddID", func(r *rig, g *Graph) *Tensor {
			return g.AddID(r.floats(own, 32, 2, 3), r.floats(w[:32*5], 32, 5), idsOf(r))
		}, refAddID(own, w, ids, 32), 0},
		{"AddID by ids with gaps between rows", func(r *rig, g *Graph) *Tensor {
			wide := r.tensor(I32, 3, 3)
			SetSlice(wide, []int32{4, 0, 9, 1, 1, 9, 3, 2, 9}, 0)
			return g.AddID(r.floats(own, 32, 2, 3), r.floats(w[:32*5], 32, 5), g.View2D(wide, 2, 3, 12, 0))
		}, refAddID(own, w, ids, 32), 0},
		{"GetRows of each token's numbers", func(r *rig, g *Graph) *Tensor {
			return g.GetRows(g.Reshape3D(r.floats(a[:15], 5, 3), 1, 5, 3), idsOf(r))
		}, []float32{a[4], a[0], a[6], a[6], a[13], a[12]}, 0},
		{"SumRows", func(r *rig, g *Graph) *Tensor { return g.SumRows(r.floats(a, 64, 3)) }, sums, 1e-5},
		{
			"Clamp", func(r *rig, g *Graph) *Tensor { return g.Clamp(r.floats(a, 64, 3), -0.5, 1) },
			refMap(a, func(x float64) float64 { return min(max(x, -0.5), 1) }), 0,
		},
		{
			"Div", func(r *rig, g *Graph) *Tensor { return g.Div(r.floats(a, 64, 3), r.floats(b[:3], 1, 3)) },
			refEach(a, slices.Concat(slices.Repeat(b[:1], 64), slices.Repeat(b[1:2], 64), slices.Repeat(b[2:3], 64)),
				func(a, b float64) float64 { return a / b }), 1e-5,
		},
		{
			"Sigmoid", func(r *rig, g *Graph) *Tensor { return g.Sigmoid(r.floats(a, 64, 3)) },
			refMap(a, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }), 0,
		},
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

// topK returns the places that TopK finds in rows of n numbers.
func topK(r *rig, rows []float32, n, k int) []int32 {
	g := r.b.NewGraph(8)
	defer g.Close()
	top := g.TopK(r.floats(rows, int64(n), int64(len(rows)/n)), k)
	g.Expand(top)
	g.Output(top)
	if _, err := r.scratch.Alloc(g); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Compute(g); err != nil {
		r.t.Fatal(err)
	}
	var got []int32
	for row := range top.Ne(1) {
		one := make([]int32, k)
		GetSlice(top, one, row*top.Nb(1))
		got = append(got, one...)
	}
	return got
}

func TestTopKReturnsThePlacesOfTheLargestNumbersInOrder(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		rows := []float32{3, 1, -4, 1.5, 5, -9, 2, 6, 5.5, 3.5, 0, 8}
		if d := cmp.Diff(topK(newRig(t, b), rows, 6, 3), []int32{4, 0, 3, 5, 1, 2}); d != "" {
			t.Errorf("(-got +want):\n%s", d)
		}
	})
}

// Weights of a damaged file may be no numbers. Where a sort meets them, C++ allows it to leave the
// row.
func TestTopKOnTheCPUTakesWhatIsNoNumberForTheLargest(t *testing.T) {
	const n = 200
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i) // ascending, so that the last number is the largest but for these
	}
	x[17], x[101] = float32(math.NaN()), float32(math.NaN())
	got := topK(newRig(t, openCPU(t, 0)), x, n, 3)
	slices.Sort(got[:2])
	if d := cmp.Diff(got, []int32{17, 101, n - 1}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

// A CPU product with quantized weights rounds the activations to 8 bits.
func TestMulMatIDOfEachWeightTypeEqualsReference(t *testing.T) {
	b := openCPU(t, 0)
	ids := []int32{2, 0, 1, 2, 0, 1}
	x := random(2, 256*3)
	for _, typ := range weightTypes {
		t.Run(typ.String(), func(t *testing.T) {
			r := newRig(t, b)
			w, kept := r.weights(typ, 256, 4, 3)
			list := r.tensor(I32, 2, 3)
			SetSlice(list, ids, 0)
			got := r.compute(func(g *Graph) *Tensor { return g.MulMatID(w, r.floats(x, 256, 1, 3), list) })
			if d := distance(got, refMulMatID(kept, x, ids, 256, 4)); d > 2e-2 {
				t.Errorf("differs by %g, more than 2e-2", d)
			}
		})
	}
}

func TestExpertsInTheFasterLayoutGiveTheSameProducts(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	ids := []int32{2, 0, 1, 2, 0, 1}
	x := random(2, 256*3)
	w, kept := r.values(Q4_0, random(1, 256*64*3), 256, 64, 3)
	if !b.SupportsWeight(OpMulMatID, Q4_0, w.Shape(), b.BufferType()) || b.SupportsWeight(OpMulMatID, I32, w.Shape(), b.BufferType()) {
		t.Error("plain memory refuses q4_0, or takes i32")
	}
	raw := make([]byte, w.Bytes())
	w.Get(raw, 0)
	tried := 0
	for _, extra := range b.ExtraBufferTypes() {
		if !b.SupportsWeight(OpMulMatID, Q4_0, w.Shape(), extra) {
			continue
		}
		tried++
		fast := r.ctx.New(Q4_0, 256, 64, 3)
		buf, err := b.Alloc(extra, extra.AllocSize(fast), Weights)
		if err != nil {
			t.Fatal(err)
		}
		defer buf.Close()
		buf.Place(fast, 0)
		fast.Set(raw, 0)
		list := r.tensor(I32, 2, 3)
		SetSlice(list, ids, 0)
		got := r.compute(func(g *Graph) *Tensor { return g.MulMatID(fast, r.floats(x, 256, 1, 3), list) })
		if d := distance(got, refMulMatID(kept, x, ids, 256, 64)); d > 2e-2 {
			t.Errorf("%s differs by %g, more than 2e-2", extra.Name(), d)
		}
	}
	if tried == 0 {
		t.Skip("cpu: no faster layout on this one")
	}
}
