package ggml

import "fmt"

// Uses are the places in which operations of a graph refer to a tensor that has memory of its own.
type Uses struct {
	views    []*Tensor  // of the tensor
	operands []**Tensor // that are the tensor itself
	like     Layout
}

// Layout is how the elements of a tensor lie in its memory.
type Layout struct {
	typ Type
	ne  [4]int64
	nb  [4]uint64
}

// Layout returns how the elements lie.
func (t *Tensor) Layout() Layout { return Layout{t.typ, t.ne, t.nb} }

// Uses returns where the operations [from, to) of a graph, which has its memory, refer to a tensor. They
// are valid as long as the graph is open.
func (g *Graph) Uses(t *Tensor, from, to int) Uses {
	if n := g.Nodes(); from < 0 || from > to || to > n {
		misuse("Uses", fmt.Sprintf("operations [%d, %d) of %d", from, to, n), t)
	}
	if g.scratch == nil {
		misuse("Uses", "the graph has no memory: allocate it with a Scratch", t)
	}
	u := Uses{like: t.Layout()}
	for i := from; i < to; i++ {
		op := c.GraphNode(g.ptr, int32(i))
		if op.viewSrc == t {
			u.views = append(u.views, op)
		}
		for j := range op.src {
			if op.src[j] == t {
				u.operands = append(u.operands, &op.src[j])
			}
		}
	}
	return u
}

// Within returns the views that begin in the bytes [begin, end) of the tensor.
func (u Uses) Within(begin, end int64) Uses {
	some := Uses{like: u.like}
	for _, v := range u.views {
		if at := int64(v.viewOffs); begin <= at && at < end {
			some.views = append(some.views, v)
		}
	}
	return some
}

// Shift has the views begin some bytes further in the tensor, or before if they are negative. The next
// computation uses them there.
func (u Uses) Shift(bytes int64) {
	for _, v := range u.views {
		if at := int64(v.viewOffs) + bytes; at < 0 || at+v.Bytes() > v.viewSrc.Bytes() {
			misuse("Shift", fmt.Sprintf("by %d bytes to %d of %d", bytes, at, v.viewSrc.Bytes()), v)
		}
	}
	for _, v := range u.views {
		v.viewOffs += uint64(bytes)
		v.data += uintptr(bytes)
	}
}

// Replace has the operations refer to another tensor of the same layout, whose memory is of the same
// device. The next computation uses that one.
func (u Uses) Replace(t *Tensor) {
	if t.Layout() != u.like {
		misuse("Replace", fmt.Sprintf("the tensor lies otherwise than %s %d with strides %d", u.like.typ, u.like.ne, u.like.nb), t)
	}
	for _, v := range u.views {
		v.viewSrc, v.buffer, v.data = t, t.buffer, t.data+uintptr(v.viewOffs)
	}
	for _, src := range u.operands {
		*src = t
	}
}
