package ggml

import "fmt"

// Context holds the shapes of tensors that are placed in buffers. It allocates no memory for their
// elements. It is used by one goroutine at a time, and its owner closes it.
type Context struct {
	ptr       uintptr
	room, len int
}

// NewContext returns a context with room for that many tensors. The library must be loaded.
func NewContext(tensors int) *Context {
	return newContext(tensors, uintptr(max(tensors, 1))*c.TensorOverhead())
}

func newContext(tensors int, size uintptr) *Context {
	ptr := c.Init(initParams{memSize: size, noAlloc: true})
	if ptr == 0 {
		// ggml could not allocate a few kilobytes: the program cannot continue.
		panic(fmt.Sprintf("ggml: no memory for the shapes of %d tensors", tensors))
	}
	return &Context{ptr: ptr, room: tensors}
}

// take reserves room for one tensor and returns the C context.
func (x *Context) take(op string) uintptr {
	if x.ptr == 0 {
		misuse(op, "the context is closed")
	}
	if x.len == x.room {
		misuse(op, fmt.Sprintf("made for %d tensors, and this is one more", x.room))
	}
	x.len++
	return x.ptr
}

// New adds a tensor of up to four dimensions; dimensions left out are 1.
func (x *Context) New(t Type, ne ...int64) *Tensor {
	shape := [4]int64{1, 1, 1, 1}
	if !t.known() || len(ne) == 0 || len(ne) > 4 {
		misuse("New", fmt.Sprintf("%s %d: want a known type and 1 to 4 dimensions", t, ne))
	}
	elements := int64(1)
	for i, n := range ne {
		// With at most 2^48 elements no size in bytes can overflow.
		if n < 1 || n > 1<<48/elements {
			misuse("New", fmt.Sprintf("%s %d: want dimensions from 1, and at most 2^48 elements", t, ne))
		}
		elements *= n
		shape[i] = n
	}
	if shape[0]%t.BlockSize() != 0 {
		misuse("New", fmt.Sprintf("%s %d: rows must be a multiple of %d", t, ne, t.BlockSize()))
	}
	return c.NewTensor4D(x.take("New"), t, shape[0], shape[1], shape[2], shape[3])
}

// Close frees the shapes; the tensors must not be used any more. Further calls do nothing.
func (x *Context) Close() {
	if x.ptr != 0 {
		c.Free(x.ptr)
		x.ptr = 0
	}
}
