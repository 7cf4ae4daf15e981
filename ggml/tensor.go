package ggml

import (
	"fmt"
	"strings"
)

// Tensor is a shape and, once it is placed or its graph is allocated, memory. It lies in C memory
// that its Context or Graph owns, so it is only used by pointer and must not be copied.
type Tensor struct {
	typ      Type
	_        int32
	buffer   uintptr
	ne       [4]int64
	nb       [4]uint64
	op       int32
	params   [16]int32
	flags    int32
	src      [10]*Tensor
	viewSrc  *Tensor
	viewOffs uint64
	data     uintptr
	name     [64]byte
	extra    uintptr
	_        [8]byte
}

// opNone is GGML_OP_NONE: the tensor is not computed.
const opNone = 0

// Type returns the type of the elements.
func (t *Tensor) Type() Type { return t.typ }

// Ne returns the number of elements in dimension i, 0 to 3.
func (t *Tensor) Ne(i int) int64 { return t.ne[i] }

// Nb returns the number of bytes from an element of dimension i, 0 to 3, to the next. For dimension
// 0 it is the size of a block.
func (t *Tensor) Nb(i int) int64 { return int64(t.nb[i]) }

// Shape returns the number of elements in each dimension, innermost first.
func (t *Tensor) Shape() [4]int64 { return t.ne }

// Elements returns the number of elements.
func (t *Tensor) Elements() int64 { return t.ne[0] * t.ne[1] * t.ne[2] * t.ne[3] }

// Fresh reports whether the tensor can be placed: it has no memory yet, and is not a view of
// another tensor.
func (t *Tensor) Fresh() bool { return t.viewSrc == nil && t.data == 0 && t.buffer == 0 }

// Bytes returns the bytes from the first element to the end of the last one, gaps included.
func (t *Tensor) Bytes() int64 {
	return extent(t.typ, t.ne, t.nb)
}

// Address returns where the first element lies, which is an address of the program's if the memory is the
// host's. It is 0 if the tensor has no memory.
func (t *Tensor) Address() uintptr { return t.data }

// Contiguous reports whether the elements follow each other without gaps and in order.
func (t *Tensor) Contiguous() bool { return t.contiguousAbove(0) }

// contiguousAbove is Contiguous except that it allows gaps between the elements of dimensions 1 to
// n.
func (t *Tensor) contiguousAbove(n int) bool {
	next := uint64(t.typ.size())
	if !t.contiguousRows() {
		return false
	}
	next *= uint64(t.ne[0] / t.typ.BlockSize())
	for i := 1; i < 4; i++ {
		if t.ne[i] == 1 {
			continue
		}
		if i > n && t.nb[i] != next {
			return false
		}
		next = t.nb[i] * uint64(t.ne[i])
	}
	return true
}

// contiguousRows reports whether the elements of each row follow each other.
func (t *Tensor) contiguousRows() bool {
	return t.ne[0] == t.typ.BlockSize() || t.nb[0] == uint64(t.typ.size())
}

// String returns type and shape, such as "f32 [64 3 1 1]".
func (t *Tensor) String() string {
	if t == nil {
		return "nil"
	}
	return fmt.Sprintf("%s %d", t.typ, t.ne)
}

// SetName names the tensor in ggml's messages; names are cut at 63 bytes.
func (t *Tensor) SetName(name string) {
	n := copy(t.name[:len(t.name)-1], name)
	t.name[n] = 0
}

// extent returns the bytes from the first element of a tensor to the end of its last.
func extent(t Type, ne [4]int64, nb [4]uint64) int64 {
	n := t.size()
	if !t.Quantized() {
		n += (ne[0] - 1) * int64(nb[0])
	} else {
		n = ne[0] / t.BlockSize() * int64(nb[0])
	}
	for i := 1; i < 4; i++ {
		n += (ne[i] - 1) * int64(nb[i])
	}
	return n
}

// ShapeError is the value with which operations panic when their operands do not fit.
type ShapeError struct {
	Op       string   // the function called
	Reason   string   // what does not fit
	Operands []string // types and shapes
}

// Error names the operation, the reason and the operands.
func (e *ShapeError) Error() string {
	s := "ggml: " + e.Op + ": " + e.Reason
	if len(e.Operands) == 0 {
		return s
	}
	return s + ": " + strings.Join(e.Operands, ", ")
}

// misuse panics with a ShapeError.
func misuse(op, reason string, operands ...*Tensor) {
	panic(shapeError(op, reason, operands...))
}

func shapeError(op, reason string, operands ...*Tensor) *ShapeError {
	e := &ShapeError{Op: op, Reason: reason}
	for _, t := range operands {
		s := t.String()
		if t != nil && !t.Contiguous() {
			s += fmt.Sprintf(" strides %d", t.nb)
		}
		e.Operands = append(e.Operands, s)
	}
	return e
}
