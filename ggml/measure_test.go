package ggml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// takeAll makes a buffer, a weight and graphs of two sizes on b, and returns what was booked before
// all of it was closed.
func takeAll(t *testing.T, b *Backend, between func(x *Tensor)) Usage {
	t.Helper()
	meta := NewContext(6)
	defer meta.Close()
	const most = 40
	x := meta.New(F32, 64, most)
	weights := []*Tensor{meta.New(F32, 64), meta.New(F32, 64, 96), meta.New(F32, 64, 96), meta.New(F32, 96, 64)}
	for i, tensor := range append(weights, x) {
		purpose := Weights
		if i == len(weights) {
			purpose = Activations
		}
		kind := b.BufferType()
		buffer, err := b.Alloc(kind, kind.AllocSize(tensor), purpose)
		if err != nil {
			t.Fatal(err)
		}
		defer buffer.Close()
		buffer.Place(tensor, 0)
		buffer.Clear()
	}
	between(x)
	scratch := b.NewScratch()
	defer scratch.Close()
	for _, n := range []int64{3, most, 7} {
		g := b.NewGraph(8)
		defer g.Close()
		g.Expand(feedForward(g, g.View2D(x, 64, n, x.Nb(1), 0), weights[0], weights[1], weights[2], weights[3]))
		if moved, err := scratch.Alloc(g); err != nil || moved != (n == most) {
			t.Fatalf("%d columns: moved %t, %v; want it to move for %d", n, moved, err, most)
		}
	}
	return b.Usage()
}

func TestMeasuringBooksWhatAllocatingTakes(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		before := b.Usage()
		measure := b.Measure()
		got := takeAll(t, measure, func(x *Tensor) {
			for op, misuse := range map[string]func(){
				"Set":    func() { x.Set(make([]byte, 4), 0) },
				"Get":    func() { x.Get(make([]byte, 4), 0) },
				"Memset": func() { x.Memset(0, 0, 4) },
			} {
				if e := panicOf(t, misuse); e.Op != op || !strings.Contains(e.Reason, "only measured") {
					t.Errorf("%s: got %v, want a panic that says so", op, e)
				}
			}
			g := measure.NewGraph(1)
			defer g.Close()
			if e := panicOf(t, func() { _ = measure.Compute(g) }); !strings.Contains(e.Reason, "only measures") {
				t.Errorf("Compute: got %v, want a panic that says so", e)
			}
		})
		if err := measure.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(b.Usage().Current, before.Current); diff != "" {
			t.Errorf("the device's own books after measuring (-got +before):\n%s", diff)
		}
		want := takeAll(t, b, func(*Tensor) {})
		for p, n := range before.Current {
			want.Current[p] -= n
		}
		for _, p := range []Purpose{Weights, Activations, Scratches} {
			if got.Current[p] != want.Current[p] || got.Current[p] == 0 {
				t.Errorf("%s: measured %d bytes, and allocated %d", p, got.Current[p], want.Current[p])
			}
		}
	})
}
