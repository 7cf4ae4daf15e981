// Package host keeps K/V rows in memory of the host: pinned memory of a device, or ordinary memory
// where there is none.
//
// A layer's rows lie in segments, each head-major in itself, so that a growing tree takes new
// memory and moves nothing.
package host

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// maxBuffer is the size of the largest buffer that is asked for, in bytes: no host buffer of Vulkan
// is larger than 1 GiB.
const maxBuffer = 1 << 30

// Tier is a [tier.Tier] in host memory.
type Tier struct {
	layouts  []tier.Layout
	alloc    tier.Allocator
	segments []segment
	bytes    int64
	exact    bool // it grows by what is asked for, and not by doubling
}

// segment holds the cells [first, first+cells) of all layers.
type segment struct {
	first, cells int
	layers       []tier.Buffer
}

var _ tier.Tier = (*Tier)(nil)

// New returns an empty tier for layers of these layouts.
func New(layouts []tier.Layout, alloc tier.Allocator) tier.Tier {
	return &Tier{layouts: layouts, alloc: alloc}
}

// NewExact returns an empty tier that takes no more memory than is asked for, in whole blocks: for
// owners that have a budget and grow in large steps.
func NewExact(layouts []tier.Layout, alloc tier.Allocator) tier.Tier {
	return &Tier{layouts: layouts, alloc: alloc, exact: true}
}

// cells returns how many cells there is room for.
func (t *Tier) cells() int {
	if len(t.segments) == 0 {
		return 0
	}
	last := t.segments[len(t.segments)-1]
	return last.first + last.cells
}

// Reserve makes room for cells in whole segments. A tier that grows becomes at least twice as
// large. One call adds one segment, or several if a buffer cannot be that large.
func (t *Tier) Reserve(ctx context.Context, cells int) error {
	before := len(t.segments)
	target := cells
	if !t.exact {
		target = max(cells, 2*t.cells())
	}
	for t.cells() < cells {
		err := ctx.Err() // memory is zeroed, and pinned, as it is taken: that takes a while
		if err == nil {
			err = t.grow(target)
		}
		if err != nil {
			t.shrink(before)
			return fmt.Errorf("host: reserve %d cells: %w", cells, err)
		}
	}
	return nil
}

// grow adds one segment towards a number of cells.
func (t *Tier) grow(cells int) error {
	have := t.cells()
	want := (cells - have + tier.BlockCells - 1) / tier.BlockCells * tier.BlockCells
	for _, l := range t.layouts {
		if most := int(maxBuffer/l.RowBytes()) / tier.BlockCells * tier.BlockCells; most > 0 {
			want = min(want, most)
		}
	}
	s := segment{first: have, cells: want}
	for _, l := range t.layouts {
		b, err := t.alloc(l.RowBytes() * int64(want))
		if err != nil {
			s.close()
			return err
		}
		s.layers = append(s.layers, b)
	}
	t.segments = append(t.segments, s)
	t.bytes += s.bytes()
	return nil
}

// shrink closes the segments from n on.
func (t *Tier) shrink(n int) {
	for _, s := range t.segments[n:] {
		t.bytes -= s.bytes()
		s.close()
	}
	t.segments = t.segments[:n]
}

func (s *segment) bytes() (n int64) {
	for _, b := range s.layers {
		n += int64(len(b.Bytes()))
	}
	return n
}

func (s *segment) close() {
	for _, b := range s.layers {
		b.Close()
	}
}

// part returns the pieces of one part from a cell of the segment on, and the distance between
// heads.
func (s *segment) part(l tier.Layout, layer int, p tier.Part, cell int) (buf []byte, stride int64) {
	return l.Part(s.layers[layer].Bytes(), s.cells, p, cell)
}

// overlap returns the run's cells that lie in the segment.
func (s *segment) overlap(r tier.Run) tier.Run {
	from, to := max(r.Start, s.first), min(r.End(), s.first+s.cells)
	return tier.Run{Start: from, N: max(0, to-from)}
}

// Fetch copies cells of a layer to dst: one 2-D copy a part and segment.
func (t *Tier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	return t.each(ctx, layer, []tier.Run{cells}, dst.Write)
}

// Store copies the cells of runs from src.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	return t.each(ctx, layer, runs, src.Read)
}

// each calls move for every piece of the runs that lies in one segment.
func (t *Tier) each(ctx context.Context, layer int, runs []tier.Run, move func(p tier.Part, cell, n int, buf []byte, stride int64)) error {
	l := t.layouts[layer]
	for _, r := range runs {
		if r.End() > t.cells() {
			return fmt.Errorf("host: layer %d: cells %v are past the %d reserved", layer, r, t.cells())
		}
		for i := range t.segments {
			s := &t.segments[i]
			in := s.overlap(r)
			if in.N == 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
				buf, stride := s.part(l, layer, p, in.Start-s.first)
				move(p, in.Start, in.N, buf, stride)
			}
		}
	}
	return nil
}

// Usage returns the memory held, whether or not its cells are used.
func (t *Tier) Usage() tier.Usage { return tier.Usage{Host: t.bytes} }

// Close frees the memory.
func (t *Tier) Close() error {
	t.shrink(0)
	return nil
}
