package ggml

// nowhere is where memory that does not exist begins: no device has addresses there.
const nowhere = 1 << 62

// Measure returns a backend of the same device on which nothing has memory. Buffers and scratches
// are booked, so that Usage says what they would take, and graphs are built and allocated as ever,
// but not computed; tensors that are placed there can be neither written nor read. The caller
// closes it.
func (b *Backend) Measure() *Backend {
	m := &Backend{dev: b.dev, measures: true, account: newAccount(b.dev.name, 0)}
	m.most.Store(b.most.Load())
	return m
}

// placeNowhere makes t a tensor that has memory, as far as graphs can tell.
func (b *Buffer) placeNowhere(t *Tensor, offset int64) {
	t.buffer, t.data = b.ptr, b.base+uintptr(offset)
}

// measure books what g takes of a scratch that has no memory.
func (s *Scratch) measure(g *Graph, growth charge) (moved bool, err error) {
	before := s.size
	s.size += growth.size
	if moved = before > 0 && s.size != before; moved {
		s.moves++
	}
	g.scratch, g.moves = s, s.moves
	return moved, s.supported(g)
}
