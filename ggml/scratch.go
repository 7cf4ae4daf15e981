package ggml

import (
	"fmt"
	"slices"
	"sync"
)

// Scratch is memory for the intermediate results of graphs that are computed one after another, all
// of which use the same bytes. It grows to the size that the largest graph needs. It is used by one
// goroutine at a time, and its owner closes it.
type Scratch struct {
	backend *Backend
	ptr     uintptr // allocates graphs
	ruler   uintptr // measures graphs; it never holds memory
	moves   int     // how often earlier graphs lost their memory
	size    int64
	close   sync.Once
}

// NewScratch returns an empty scratch.
func (b *Backend) NewScratch() *Scratch {
	t := b.BufferType().ptr
	return &Scratch{
		backend: b,
		ptr:     c.GallocrNew(t),
		ruler:   c.GallocrNew(t),
	}
}

// Alloc allocates the results of g. If moved is true the scratch grew, and every graph allocated
// before must be dropped: Compute panics for it. This also holds when Alloc fails. A graph is
// allocated once. The error is ErrNoMemory if there is no room; if the device cannot run one of g's
// operations, the error names it.
func (s *Scratch) Alloc(g *Graph) (moved bool, err error) {
	s.check(g)
	// The need is measured first, because ggml frees the old memory before it asks for more, and a
	// graph that exceeds the limit must leave the scratch as it was.
	var need uintptr
	c.GallocrMeasure(s.ruler, g.ptr, 0, 0, &need)
	before := s.size
	growth := charge{purpose: Scratches, size: max(int64(need)-before, 0), limited: true}
	if err := s.backend.account.add(growth); err != nil {
		return false, err
	}
	if s.backend.measures {
		return s.measure(g, growth)
	}
	if old := s.ptr; before > 0 && growth.size > 0 {
		s.ptr = c.GallocrNew(s.backend.BufferType().ptr)
		s.backend.retire(func() { c.GallocrFree(old) })
	}
	// ggml_gallocr_alloc_graph alone reuses the last graph's plan if both have the same number of
	// nodes, whatever those are, so a plan for g is made first.
	ok := c.GallocrReserve(s.ptr, g.ptr) && c.GallocrAllocGraph(s.ptr, g.ptr)
	s.size = int64(c.GallocrBufferSize(s.ptr, 0))
	s.backend.account.remove(charge{purpose: Scratches, size: before + growth.size - s.size, limited: true})
	if moved = before > 0 && s.size != before; moved {
		s.moves++
	}
	if s.size != before && s.size > 0 {
		s.backend.buffers.Add(1)
	}
	if !ok {
		return moved, fmt.Errorf("%w: %s: %d bytes for %s; %s", ErrNoMemory, s.backend.dev.name, need, Scratches, s.backend.dev.lib.log.last())
	}
	g.scratch, g.moves = s, s.moves
	return moved, s.supported(g)
}

// check panics if g cannot be allocated.
func (s *Scratch) check(g *Graph) {
	g.checkOpen("Alloc")
	switch {
	case s.ptr == 0:
		misuse("Alloc", "the scratch is closed")
	case g.backend != s.backend:
		misuse("Alloc", "graph and scratch are of different backends")
	case g.whole != nil:
		misuse("Alloc", "a part has its memory from the whole graph")
	case g.scratch != nil:
		misuse("Alloc", "the graph is allocated already: build it again")
	}
	for i := range g.Nodes() {
		node := c.GraphNode(g.ptr, int32(i))
		for _, operand := range node.src {
			// ggml would allocate an input without memory in the scratch.
			if operand != nil && operand.op == opNone && operand.viewSrc == nil && operand.data == 0 {
				misuse("Alloc", fmt.Sprintf("an operand of %s has no memory: place it first", c.OpDesc(node)), operand)
			}
		}
	}
}

// supported returns an error if the device cannot run one of g's operations, where ggml would abort
// the process.
func (s *Scratch) supported(g *Graph) error {
	for i := range g.Nodes() {
		node := c.GraphNode(g.ptr, int32(i))
		if !c.DevSupportsOp(s.backend.dev.ptr, node) {
			g.scratch = nil
			operands := slices.DeleteFunc(node.src[:maxOperands:maxOperands], func(t *Tensor) bool { return t == nil })
			return shapeError("Alloc", fmt.Sprintf("%s cannot run %s", s.backend.dev.name, c.OpDesc(node)), operands...)
		}
	}
	return nil
}

// Reset frees the memory. Every graph that was allocated must be dropped, as after an Alloc that
// moved; the next Alloc takes as much as its graph needs.
func (s *Scratch) Reset() {
	if s.ptr == 0 || s.size == 0 {
		return
	}
	if s.backend.measures {
		s.forget()
		return
	}
	old := s.ptr
	s.ptr = c.GallocrNew(s.backend.BufferType().ptr)
	s.backend.retire(func() { c.GallocrFree(old) })
	s.forget()
}

// forget takes the memory out of the account, and makes its graphs invalid.
func (s *Scratch) forget() {
	s.moves++
	s.backend.account.remove(charge{purpose: Scratches, size: s.size, limited: true})
	s.size = 0
}

// Size returns the number of bytes that the scratch takes.
func (s *Scratch) Size() int64 { return s.size }

// Close frees the memory. Graphs allocated in it can only be closed. Further calls do nothing.
func (s *Scratch) Close() {
	s.close.Do(func() {
		used := s.ptr
		s.backend.retire(func() { c.GallocrFree(used) })
		c.GallocrFree(s.ruler)
		s.ptr, s.ruler = 0, 0
		s.forget()
	})
}
