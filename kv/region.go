package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// region is the memory of the rows of one layer and tree in the place where the layer computes, or
// a view of a slot as such memory.
type region struct {
	id      uint64 // never used again: graphs are kept by it
	layout  tier.Layout
	cells   int
	k, v    *ggml.Tensor // [head dim, cells, KV heads]
	clean   int          // cells [high, clean) are zero, so that padding is finite
	touched int          // cells [0, touched) were in use at some time, the others never
	new     bool         // the others are zero, too, as the system's new pages are

	meta   *ggml.Context
	memory []byte       // the rows, keys first; nil: the host cannot address them
	buffer *ggml.Buffer // nil: the slot's
}

var _ tier.Addressable = (*region)(nil)

// newRegion makes a region of a shape at an offset in a buffer. The buffer has at least
// layout.RowBytes() × cells bytes from there on.
func newRegion(id uint64, s Shape, tk, tv ggml.Type, cells int, buffer *ggml.Buffer, offset int64) *region {
	r := &region{id: id, layout: s.layout(tk, tv), cells: cells, meta: ggml.NewContext(2)}
	r.k = r.meta.New(tk, int64(s.KeyDim), int64(cells), int64(s.Heads))
	r.v = r.meta.New(tv, int64(s.ValueDim), int64(cells), int64(s.Heads))
	buffer.Place(r.k, offset)
	buffer.Place(r.v, offset+r.k.Bytes())
	if memory := buffer.Bytes(); memory != nil {
		r.memory = memory[offset:]
	}
	return r
}

func (r *region) bytes() int64 { return r.layout.RowBytes() * int64(r.cells) }

func (r *region) tensor(p tier.Part) *ggml.Tensor {
	if p == tier.Keys {
		return r.k
	}
	return r.v
}

// Write copies rows in: one 2-D copy.
func (r *region) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	b := r.layout.Piece(p)
	r.tensor(p).Set2D(buf, int64(cell)*b, int64(n)*b, r.layout.Heads, int64(r.cells)*b, stride)
}

// Read copies rows out: one 2-D copy.
func (r *region) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	b := r.layout.Piece(p)
	r.tensor(p).Get2D(buf, int64(cell)*b, int64(n)*b, r.layout.Heads, int64(r.cells)*b, stride)
}

// piece returns the memory of one part, which the host can address, from a cell on, and the
// distance between heads.
func (r *region) piece(p tier.Part, cell int) (buf []byte, stride int64) {
	return r.layout.Part(r.memory, r.cells, p, cell)
}

// Address returns the bytes of cells of a head, or nil if the host cannot address them.
func (r *region) Address(p tier.Part, head, cell, n int) []byte {
	if r.memory == nil {
		return nil
	}
	rows, stride := r.piece(p, cell)
	return rows[int64(head)*stride:][:int64(n)*r.layout.Piece(p)]
}

// Fetch copies cells to dst. By Fetch and Store, a region in host memory can keep the rows of a
// layer that visits a device.
func (r *region) Fetch(ctx context.Context, _ int, cells tier.Run, dst tier.Memory) error {
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		buf, stride := r.piece(p, cells.Start)
		dst.Write(p, cells.Start, cells.N, buf, stride)
	}
	return ctx.Err()
}

// Store copies the cells of runs from src.
func (r *region) Store(ctx context.Context, _ int, runs []tier.Run, src tier.Memory) error {
	for _, run := range runs {
		for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
			buf, stride := r.piece(p, run.Start)
			src.Read(p, run.Start, run.N, buf, stride)
		}
	}
	return ctx.Err()
}

// fill sets every byte of the cells [from, to).
func (r *region) fill(value byte, from, to int) {
	if from >= to {
		return
	}
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		b := r.layout.Piece(p)
		for h := range r.layout.Heads {
			at := (int64(h)*int64(r.cells) + int64(from)) * b
			r.tensor(p).Memset(value, at, int64(to-from)*b)
		}
	}
}

// zero zeroes the cells below end that are not in use, so that attention over whole blocks reads
// only finite numbers. Those below used are in use now, or about to be. Cells below clean are zero or
// in use already. Nothing is written to pages that are new: the system would have to give those of
// 256 cells in every head and layer when a tree begins, which takes milliseconds.
func (r *region) zero(used, end int) {
	dirty := end
	if r.new {
		dirty = min(end, r.touched)
	}
	r.fill(0, r.clean, dirty)
	r.clean = max(r.clean, end)
	r.touched = max(r.touched, used)
}

// populate takes memory for cells that are about to be written for the first time. The region has a buffer.
func (r *region) populate(cells tier.Run) {
	first := int64(0)
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		b, head := r.layout.Piece(p), r.layout.Piece(p)*int64(r.cells)
		for h := range int64(r.layout.Heads) {
			r.buffer.Populate(first+h*head+int64(cells.Start)*b, int64(cells.N)*b)
		}
		first += int64(r.layout.Heads) * head
	}
}

func (r *region) close() {
	r.meta.Close()
	if r.buffer != nil {
		r.buffer.Close()
	}
}

// slot is device memory that streamed layers visit in turn. It belongs to the computation between
// acquire and release, and to the mover otherwise. Where streamed layers are used in place it has
// no memory, and stands for the time of the link.
type slot struct {
	buffer *ggml.Buffer
	views  map[Shape]*region // the slot as rows of each shape
	holds  holding
	due    time.Time // when what it holds has come over the link
	shape  Shape     // of the last rows in it
	dirty  int       // cells of that shape from here on are zero
}

// holding names the rows that a slot has.
type holding struct {
	tree  *tree
	layer int
	epoch uint64 // the tree's last step whose rows are among them
	n     int    // cells [0, n)
}

// covers reports whether the wanted rows are among those held. There may be more: sequences that
// were closed since have given cells back.
func (h holding) covers(want holding) bool {
	return h.tree == want.tree && h.layer == want.layer && h.epoch == want.epoch && h.n >= want.n
}

// newSlot allocates a slot for the rows of any streamed layer of a device.
func (p *Pool) newSlot(d *device) (*slot, error) {
	s := &slot{}
	if !d.copies {
		return s, nil
	}
	b, err := p.alloc(d, d.backend.BufferType(), d.slotBytes()+p.config.slotAlign-1, ggml.Slots)
	if err != nil {
		return nil, allocation(fmt.Errorf("kv: slot of %d cells: %w", d.slotCells, err))
	}
	b.UseHugePages()
	b.Clear()
	s.buffer, s.views = b, map[Shape]*region{}
	offset := b.Aligned(p.config.slotAlign)
	for i, l := range d.placement.Layers {
		shape := p.config.shapes[l]
		if !d.placement.Resident[i] && s.views[shape] == nil {
			s.shape = shape // any will do: all of it is zero
			s.views[shape] = newRegion(p.nextID.Add(1), shape, p.config.typeK, p.config.typeV, d.slotCells, b, offset)
		}
	}
	return s, nil
}

// noteRows records that rows of a shape are written to the slot's first n cells.
func (s *slot) noteRows(shape Shape, n int) {
	if shape != s.shape { // its cells lie elsewhere: any may hold others' bytes
		s.shape, s.dirty = shape, s.views[shape].cells
	}
	s.dirty = max(s.dirty, n)
}

// zeroPadding zeroes the cells from a number on, to the end of the block of end, if an earlier
// occupant may have left something there. The cells below end are about to be written.
func (s *slot) zeroPadding(shape Shape, from, to int) {
	s.noteRows(shape, 0)
	r := s.views[shape]
	end := min(plan.WholeBlocks(to), r.cells)
	if s.dirty > from {
		r.fill(0, from, end)
	}
	if s.dirty <= end {
		s.dirty = to
	}
}

func (s *slot) close() {
	for _, r := range s.views {
		r.close()
	}
	if s.buffer != nil {
		s.buffer.Close()
	}
}
