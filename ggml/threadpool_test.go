package ggml

import (
	"strings"
	"testing"
)

func TestAnyNumberOfThreadsComputesTheSame(t *testing.T) {
	const rows, wide = 5, 256
	b := openCPU(t, 0)
	r := newRig(t, b)
	x, w := random(1, wide*rows), random(2, wide*wide)
	g := b.NewGraph(1)
	defer g.Close()
	y := g.MulMat(r.floats(w, wide, wide), r.floats(x, wide, rows))
	g.Expand(y)
	if _, err := r.scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	want := make([]float32, wide*rows)
	for i := range want {
		for j := range wide {
			want[i] += x[i/wide*wide+j] * w[i%wide*wide+j]
		}
	}
	for _, threads := range []int{2, 1, 2, 1, 1, 2} {
		if err := b.SetThreads(threads); err != nil {
			t.Fatal(err)
		}
		if got := b.Threads(); got != threads {
			t.Errorf("%d threads, want %d", got, threads)
		}
		if err := b.Compute(g); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(want))
		GetSlice(y, got, 0)
		if d := distance(got, want); d > 1e-4 { // of the largest: sums of 256 products in another order
			t.Errorf("%d threads: differs by %g", threads, d)
		}
	}
}

func TestThreadsAreBounded(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.cpu().Open(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, 0, 10_000} {
		if err := b.SetThreads(n); err == nil || !strings.Contains(err.Error(), "want 1 to ") {
			t.Errorf("%d threads: got %v", n, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.SetThreads(1); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: got %v", err)
	}
}

func TestThreadsAreTheCPUsAlone(t *testing.T) {
	b := openVulkan(t)
	if err := b.SetThreads(1); err != nil || b.Threads() != 0 {
		t.Errorf("got %d threads and %v; want 0, ignored", b.Threads(), err)
	}
}
