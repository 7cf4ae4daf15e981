package kv

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// Layers of several shapes use a slot in any order. The cells that attention spans behind a layer's
// rows are zero each time.
func TestTidySlotsHaveNothingOldInThePadding(t *testing.T) {
	o := uniform(Offloaded, 3, 512)
	o.Layers = []Shape{{Heads: 1, KeyDim: 1, ValueDim: 1}, {Heads: 2, KeyDim: 1, ValueDim: 3}, {Heads: 1, KeyDim: 4, ValueDim: 1}}
	o.ForcedCopies, o.Slots = true, 1
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := p.devices[0].slots[0]
	rapid.Check(t, func(t *rapid.T) {
		s.buffer.Clear()
		s.shape, s.dirty = o.Layers[0], 0
		for range rapid.IntRange(1, 100).Draw(t, "visits") {
			shape := rapid.SampledFrom(o.Layers).Draw(t, "shape")
			before := rapid.IntRange(0, 400).Draw(t, "before")
			after := before + rapid.IntRange(0, 100).Draw(t, "new")
			if before > 0 { // fetched
				s.noteRows(shape, before)
				s.views[shape].fill(0xFF, 0, before)
			}
			if rapid.Bool().Draw(t, "ahead") {
				continue // and never computed
			}
			from := rapid.SampledFrom([]int{before, after}).Draw(t, "from")
			s.zeroPadding(shape, from, after)
			r := s.views[shape]
			for _, x := range []*ggml.Tensor{r.k, r.v} {
				for h := range x.Ne(2) {
					got := make([]byte, int64(min(plan.WholeBlocks(after), r.cells)-from)*x.Nb(1))
					if len(got) == 0 {
						continue
					}
					x.Get(got, h*x.Nb(2)+int64(from)*x.Nb(1))
					if len(bytes.Trim(got, "\x00")) > 0 {
						t.Fatalf("cells [%d,%d) of %v are not all zero", from, plan.WholeBlocks(after), shape)
					}
				}
			}
			s.views[shape].fill(0xFF, before, after) // computed
		}
	})
}

// Decoding into a tidy slot writes nothing but rows.
func TestTidySlotsAreNotTidiedAgain(t *testing.T) {
	o := uniform(Offloaded, 4, 1000)
	o.ForcedCopies = true
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	for _, n := range []int{300, 1, 1, 1} {
		l.grow(growth{s, n})
		l.pool.drain()
		for i, slot := range l.pool.devices[0].slots {
			if slot.dirty != s.Len() {
				t.Errorf("%d tokens: slot %d may have old rows up to cell %d", s.Len(), i, slot.dirty)
			}
		}
	}
}

// Whatever was in a region's cells, those between the last row and the end of its block are zero. In new
// pages nothing is written that was never in use.
func TestPaddingOfRegionsIsZero(t *testing.T) {
	b := ownCPU(t, 0)
	const cells, heads = 4 * plan.Block, 2
	shape := Shape{Heads: heads, KeyDim: 1, ValueDim: 3}
	rapid.Check(t, func(t *rapid.T) {
		size := shape.Bytes(ggml.F32, ggml.F32) * cells
		buffer, zero, err := b.AllocZero(b.BufferType(), size, ggml.Regions)
		if err != nil {
			t.Fatal(err)
		}
		r := newRegion(1, shape, ggml.F32, ggml.F32, cells, buffer, 0)
		r.buffer, r.new = buffer, zero
		defer r.close()
		if old := rapid.Bool().Draw(t, "old"); old || !zero {
			r.new = false
			r.fill(0xFF, 0, cells)
		}
		tr := &tree{regions: []*region{r}, capacity: cells}
		var held []tier.Run
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			n := rapid.IntRange(1, 300).Draw(t, "tokens")
			if n > tr.free() { // a truncation, perhaps to nothing
				kept, rest := cutRuns(held, rapid.IntRange(0, len(tr.cells)).Draw(t, "kept"))
				tr.give(rest)
				held = kept
				continue
			}
			held = tr.take(n, held)
			end := plan.WholeBlocks(tr.high)
			r.zero(tr.high, end)
			for _, x := range []*ggml.Tensor{r.k, r.v} {
				for h := range x.Ne(2) {
					got := make([]byte, int64(end-tr.high)*x.Nb(1))
					if len(got) == 0 {
						continue
					}
					x.Get(got, h*x.Nb(2)+int64(tr.high)*x.Nb(1))
					if len(bytes.Trim(got, "\x00")) > 0 {
						t.Fatalf("cells [%d,%d) are not all zero", tr.high, end)
					}
				}
			}
			r.fill(0xFF, tr.high-n, tr.high) // computed
		}
	})
}
