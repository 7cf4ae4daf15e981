package ggml

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// feedForward is a gated layer: 7 operations.
func feedForward(g *Graph, x, norm, gate, up, down *Tensor) *Tensor {
	h := g.Mul(g.RMSNorm(x, 1e-5), norm)
	return g.Add(x, g.MulMat(down, g.SwiGLU(g.MulMat(gate, h), g.MulMat(up, h))))
}

func TestPartsComputedInOrderEqualTheWholeBitForBit(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		r := newRig(t, b)
		x := r.floats(random(1, 64*3), 64, 3)
		weight := func(seed uint64) *Tensor { return r.floats(random(seed, 64*64), 64, 64) }
		norm, gate, up, down := r.floats(random(2, 64), 64), weight(3), weight(4), weight(5)
		build := func() (*Graph, *Tensor) {
			g := b.NewGraph(7)
			y := feedForward(g, x, norm, gate, up, down)
			g.Expand(y)
			if _, err := r.scratch.Alloc(g); err != nil {
				t.Fatal(err)
			}
			return g, y
		}
		read := func(y *Tensor) []float32 {
			s := make([]float32, y.Elements())
			GetSlice(y, s, 0)
			return s
		}
		g, y := build()
		defer g.Close()
		if err := b.Compute(g); err != nil {
			t.Fatal(err)
		}
		want := read(y)
		nodes := g.Nodes()
		if nodes != 7 {
			t.Fatalf("%d operations, want 7", nodes)
		}
		for cut := 1; cut < nodes; cut++ {
			g, y := build()
			for _, p := range []*Graph{g.Part(0, cut), g.Part(cut, nodes)} {
				if err := b.Compute(p); err != nil {
					t.Fatal(err)
				}
			}
			if got := read(y); !slices.Equal(got, want) {
				t.Errorf("cut at %d: differs by %g", cut, distance(got, want))
			}
			g.Close()
		}
	})
}

func TestPartsOutsideTheGraphPanic(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	g := b.NewGraph(2)
	defer g.Close()
	g.Expand(g.Scale(g.Scale(r.tensor(F32, 4), 2), 3))
	for _, part := range [][2]int{{-1, 1}, {0, 3}, {1, 1}, {2, 1}} {
		if e := panicOf(t, func() { g.Part(part[0], part[1]) }); e.Op != "Part" {
			t.Errorf("%v: got %v", part, e)
		}
	}
	p := g.Part(0, 2)
	if got := p.Part(1, 2).Nodes(); got != 1 {
		t.Errorf("a part of a part has %d operations, want 1", got)
	}
	if e := panicOf(t, func() { p.Scale(r.tensor(F32, 4), 2) }); !strings.Contains(e.Reason, "cannot grow") {
		t.Errorf("got %v", e)
	}
	if e := panicOf(t, func() { p.Expand(r.tensor(F32, 4)) }); !strings.Contains(e.Reason, "cannot grow") {
		t.Errorf("got %v", e)
	}
}

func TestComputePanicsOnGraphsItCannotRun(t *testing.T) {
	b, other := openCPU(t, 0), openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(F32, 1024)
	build := func() *Graph {
		g := b.NewGraph(1)
		t.Cleanup(g.Close)
		g.Expand(g.Scale(x, 2))
		return g
	}
	alloc := func(s *Scratch, g *Graph) *Graph {
		t.Helper()
		if _, err := s.Alloc(g); err != nil {
			t.Fatal(err)
		}
		return g
	}
	expect := func(reason string, f func()) {
		t.Helper()
		if e := panicOf(t, f); !strings.Contains(e.Reason, reason) {
			t.Errorf("got %v, want %q", e, reason)
		}
	}
	expect("no memory", func() { _ = b.Compute(build()) })
	expect("no memory", func() { _ = b.Compute(build().Part(0, 1)) })
	expect("another backend", func() { _ = other.Compute(alloc(r.scratch, build())) })
	expect("allocated already", func() { alloc(r.scratch, alloc(r.scratch, build())) })
	expect("allocated already", func() { alloc(r.scratch, build()).Expand(x) })
	expect("from the whole graph", func() { alloc(r.scratch, build().Part(0, 1)) })
	expect("different backends", func() { alloc(other.NewScratch(), build()) })
	expect("at least 1", func() { b.NewGraph(0) })

	closed := b.NewScratch()
	g := alloc(closed, build())
	closed.Close()
	closed.Close()
	expect("moved or was closed", func() { _ = b.Compute(g) })
	expect("scratch is closed", func() { alloc(closed, build()) })
	g.Close()
	g.Close()
	expect("graph is closed", func() { _ = b.Compute(g) })
	expect("graph is closed", func() { g.Nodes() })
	expect("graph is closed", func() { g.Scale(x, 1) })

	free := r.ctx.New(F32, 4)
	lost := b.NewGraph(1)
	defer lost.Close()
	lost.Expand(lost.Scale(free, 2))
	expect("has no memory", func() { alloc(r.scratch, lost) })

	done := openCPU(t, 0)
	if err := done.Close(); err != nil {
		t.Fatal(err)
	}
	expect("backend is closed", func() { _ = done.Compute(g) })
}

func TestAGraphIsComputedAgainWithNewInputs(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(F32, 2)
	g := b.NewGraph(1)
	defer g.Close()
	y := g.Scale(x, 10)
	g.Expand(y)
	if _, err := r.scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		SetSlice(x, []float32{float32(i), 1}, 0)
		if err := b.Compute(g); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 2)
		GetSlice(y, got, 0)
		if got[0] != float32(10*i) || got[1] != 10 {
			t.Errorf("run %d: got %v", i, got)
		}
	}
	if got, want := b.Stats(), (Stats{Buffers: 2, Graphs: 1, Computes: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Without Output the chain below would run in place.
func TestOutputKeepsAnIntermediateResult(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	g := b.NewGraph(3)
	defer g.Close()
	kept := g.Scale(r.floats([]float32{1}, 1), 2)
	g.Output(kept)
	last := g.Scale(g.Scale(kept, 3), 5)
	g.Expand(last)
	if _, err := r.scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := b.Compute(g); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 2)
	GetSlice(kept, got[:1], 0)
	GetSlice(last, got[1:], 0)
	if got[0] != 2 || got[1] != 30 {
		t.Errorf("got %v, want [2 30]", got)
	}
}

func TestGraphsOfOneScratchShareItsBytes(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	s := b.NewScratch()
	defer s.Close()
	build := func(n int64) *Graph {
		g := b.NewGraph(2)
		t.Cleanup(g.Close)
		x := r.tensor(F32, n)
		g.Expand(g.Add(g.Scale(x, 2), x))
		return g
	}
	large, small, larger := build(1000), build(10), build(5000)
	if moved, err := s.Alloc(large); moved || err != nil {
		t.Fatalf("first: moved %t, %v", moved, err)
	}
	size := s.Size()
	if moved, err := s.Alloc(small); moved || err != nil || s.Size() != size {
		t.Errorf("smaller: moved %t, %v, size %d, want %d", moved, err, s.Size(), size)
	}
	for _, g := range []*Graph{large, small, large} {
		if err := b.Compute(g); err != nil {
			t.Error(err)
		}
	}
	moved, err := s.Alloc(larger)
	if !moved || err != nil || s.Size() <= size {
		t.Errorf("larger: moved %t, %v, size %d, want more than %d", moved, err, s.Size(), size)
	}
	if e := panicOf(t, func() { _ = b.Compute(large) }); !strings.Contains(e.Reason, "moved") {
		t.Errorf("got %v", e)
	}
	if got := b.Usage().Current[Scratches]; got != s.Size() {
		t.Errorf("%d bytes in the books, want %d", got, s.Size())
	}
}

// Equal node counts must not make one graph use another's plan of memory: here the second keeps
// alive what the first does not.
func TestGraphsOfEqualSizeButOtherWiringAreBothRight(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	x, w := r.floats(random(1, 64), 64), r.floats(random(2, 64*64), 64, 64)
	chain := func(g *Graph) *Tensor {
		y := g.MulMat(w, x)
		for range 3 {
			y = g.MulMat(w, g.Scale(y, 0.1))
		}
		return g.Add(y, x)
	}
	wide := func(g *Graph) *Tensor {
		y := [4]*Tensor{}
		for i := range y {
			y[i] = g.MulMat(w, g.Scale(x, 0.1*float32(i+1)))
		}
		return g.Add(y[3], y[0])
	}
	want := func(build func(*Graph) *Tensor) []float32 {
		fresh := &rig{t: t, b: b, scratch: b.NewScratch()}
		defer fresh.scratch.Close()
		return fresh.compute(build)
	}
	for i, build := range []func(*Graph) *Tensor{chain, wide, chain, wide} {
		if got, want := r.compute(build), want(build); !slices.Equal(got, want) {
			t.Errorf("graph %d differs by %g", i, distance(got, want))
		}
	}
}

// Rows cannot be taken from a weight in the CPU's faster layout; ggml aborts.
func TestAnOperationTheDeviceLacksIsAnError(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	shape := [4]int64{256, 64, 1, 1}
	for _, extra := range b.ExtraBufferTypes() {
		if !b.SupportsWeight(OpMulMat, Q4_0, shape, extra) || b.SupportsWeight(OpGetRows, Q4_0, shape, extra) {
			continue
		}
		w := r.ctx.New(Q4_0, 256, 64)
		buf, err := b.Alloc(extra, extra.AllocSize(w), Weights)
		if err != nil {
			t.Fatal(err)
		}
		defer buf.Close()
		buf.Place(w, 0)
		g := b.NewGraph(1)
		defer g.Close()
		g.Expand(g.GetRows(w, r.int32s(1)))
		_, err = r.scratch.Alloc(g)
		var shape *ShapeError
		if !errors.As(err, &shape) || !strings.Contains(err.Error(), "cpu cannot run GET_ROWS: q4_0 [256 64 1 1], i32 [1 1 1 1]") {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Skip("cpu: no faster layout on this one")
}

func TestAGraphComputesWithTheTensorThatReplacesAnother(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		r := newRig(t, b)
		x := r.floats(random(1, 64*3), 64, 3)
		all := [][]float32{random(2, 64*8), random(3, 64*8)}
		rows := []*Tensor{r.floats(all[0], 64, 8), r.floats(all[1], 64, 8)}
		cells := r.tensor(I64, 3)
		SetSlice(cells, []int64{6, 0, 5}, 0)
		g := b.NewGraph(9)
		defer g.Close()
		before := g.Mul(x, x)
		g.Expand(before)
		from := g.Nodes()
		set := g.SetRows(rows[0], before, cells)
		y := g.Add(g.MulMat(g.View2D(set, 64, 7, 64*4, 64*4), x), g.MulMat(g.View2D(rows[0], 64, 7, 64*4, 64*4), x))
		g.Expand(y)
		if _, err := r.scratch.Alloc(g); err != nil {
			t.Fatal(err)
		}
		uses := g.Uses(rows[0], from, g.Nodes())
		compute := func() []float32 {
			if err := b.Compute(g); err != nil {
				t.Fatal(err)
			}
			out := make([]float32, y.Elements())
			GetSlice(y, out, 0)
			return out
		}
		read := func(t *Tensor) []float32 {
			out := make([]float32, t.Elements())
			GetSlice(t, out, 0)
			return out
		}
		first := compute()
		written := read(rows[0])
		uses.Replace(rows[1])
		second := compute()
		if slices.Equal(first, second) || !slices.Equal(read(rows[0]), written) || slices.Equal(read(rows[1]), all[1]) {
			t.Error("the graph computes with the tensor that was replaced")
		}
		SetSlice(rows[0], all[1], 0)
		uses.Replace(rows[0])
		if third := compute(); !slices.Equal(third, second) {
			t.Errorf("with the same values in the first tensor the result differs by %g", distance(third, second))
		}
		defer func() {
			if e, ok := recover().(*ShapeError); !ok || !strings.Contains(e.Error(), "lies otherwise") {
				t.Errorf("a tensor of another shape: %v, want misuse", e)
			}
		}()
		uses.Replace(x)
	})
}
