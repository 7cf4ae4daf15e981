package ggml

import (
	"slices"
	"strings"
	"testing"
)

func TestADetourComesAfterWhatItSendsAndBeforeWhatNeedsIt(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		r, other := newRig(t, b), openCPU(t, 0)
		x := r.floats(random(1, 64*3), 64, 3)
		result, _ := r.values(F32, random(9, 64*3), 64, 3) // as if it were the detour's
		g := b.NewGraph(16)
		defer g.Close()
		top := g.TopK(g.Scale(x, -1), 2)              // a view, whose memory later operations could take
		h := g.GetRows(g.Reshape3D(x, 1, 64, 3), top) // the last that reads it
		y := g.DetourTo(other, x, nil, h, top)
		g.Expand(g.Add(g.Scale(g.Scale(g.Scale(x, 2), 2), 2), y))
		d := g.Detour()
		if d.Backend != other || d.Result != y || d.After >= g.Nodes() || !slices.Equal(d.Sent, []*Tensor{h, top}) {
			t.Errorf("got %+v of %d operations", d, g.Nodes())
		}
		y.data, y.buffer = result.data, result.buffer
		if _, err := r.scratch.Alloc(g); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Graph{g.Part(0, d.After), g.Part(d.After, g.Nodes())} {
			if err := b.Compute(p); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]int32, 2)
		GetSlice(top, got, 0)
		row := random(1, 64*3)[:64]
		first := int32(slices.Index(row, slices.Min(row)))
		if got[0] != first {
			t.Errorf("what was sent is %v behind the detour, want %d first: it keeps its memory", got, first)
		}
		if e := panicOf(t, func() { g.DetourTo(other, x, nil) }); e == nil || !strings.Contains(e.Error(), "no other detour") {
			t.Errorf("a second detour: %v, want a panic that says so", e)
		}
	})
}
