package kv

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
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
