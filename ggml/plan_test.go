package ggml

import (
	"slices"
	"testing"
)

// planned is a graph of two products, of which each may be a part, and its result.
func planned(t *testing.T, b *Backend, r *rig) (*Graph, *Tensor) {
	t.Helper()
	const wide = 256
	g := b.NewGraph(2)
	w := r.floats(random(2, wide*wide), wide, wide)
	y := g.MulMat(w, g.MulMat(w, r.floats(random(1, wide), wide, 1)))
	g.Expand(y)
	if _, err := r.scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	return g, y
}

func TestAKeptPlanComputesTheSame(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	g, y := planned(t, b, r)
	defer g.Close()
	first, second := g.Part(0, 1), g.Part(1, 2)
	compute := func(graphs ...*Graph) []float32 {
		y.Set(make([]byte, y.Bytes()), 0)
		for _, g := range graphs {
			if err := b.Compute(g); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]float32, y.Elements())
		GetSlice(y, got, 0)
		return got
	}
	for i, threads := range []int{2, 1, 1, 2} {
		if err := b.SetThreads(threads); err != nil {
			t.Fatal(err)
		}
		want := compute(g)
		if i == 0 { // from here on with plans
			for _, g := range []*Graph{g, first, second} {
				g.KeepPlan()
			}
		}
		for range 2 {
			if got := compute(g); !slices.Equal(got, want) {
				t.Errorf("%d threads: a kept plan gives other numbers", threads)
			}
			if got := compute(first, second); !slices.Equal(got, want) {
				t.Errorf("%d threads: kept plans of parts give other numbers", threads)
			}
		}
	}
	if got, want := b.Stats().Plans, int64(3*3); got != want { // of three graphs, and again when the number of threads changed
		t.Errorf("%d plans made, want %d", got, want)
	}
	if n := testing.AllocsPerRun(20, func() { _ = b.Compute(g) }); n != 0 {
		t.Errorf("%g allocations a computation, want none", n)
	}
}

// Whichever is closed first, the graph or its backend.
func TestPlansAreFreedWithGraphOrBackend(t *testing.T) {
	for _, graphFirst := range []bool{true, false} {
		l, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.cpu().Open(Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Run("", func(t *testing.T) { // the rig's memory is freed before the backend
			r := newRig(t, b)
			g, _ := planned(t, b, r)
			g.KeepPlan()
			if err := b.Compute(g); err != nil {
				t.Fatal(err)
			}
			if graphFirst {
				g.Close()
			} else {
				t.Cleanup(func() { defer g.Close(); _ = b.Close() }) // buffers are still open
			}
		})
		if n := len(b.plans.open); n != 0 {
			t.Errorf("graph first: %v: %d plans are left", graphFirst, n)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
