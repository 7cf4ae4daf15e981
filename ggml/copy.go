package ggml

import (
	"fmt"
	"unsafe"
)

// The copies below return when they are done. They may run at the same time as Compute on another
// goroutine, but not on the same bytes. Offsets, sizes and strides are bytes.

// Set copies src to offset of t's memory. It panics if that is out of bounds.
func (t *Tensor) Set(src []byte, offset int64) {
	t.checkRange("Set", offset, int64(len(src)))
	if len(src) > 0 {
		call(c.TensorSet, uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(unsafe.SliceData(src))),
			uintptr(offset), uintptr(len(src)), 0, 0, 0)
	}
}

// Get copies from offset of t's memory to fill dst. It panics if that is out of bounds.
func (t *Tensor) Get(dst []byte, offset int64) {
	t.checkRange("Get", offset, int64(len(dst)))
	if len(dst) > 0 {
		call(c.TensorGet, uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(unsafe.SliceData(dst))),
			uintptr(offset), uintptr(len(dst)), 0, 0, 0)
	}
}

// Set2D copies pieces of size bytes each, the i-th from src[i*strideSrc:] to offset+i*strideTensor
// of t's memory. It panics if a piece is out of bounds or pieces overlap.
func (t *Tensor) Set2D(src []byte, offset, size int64, copies int, strideTensor, strideSrc int64) {
	t.check2D("Set2D", int64(len(src)), offset, size, int64(copies), strideTensor, strideSrc)
	if size > 0 && copies > 0 {
		call(c.TensorSet2D, uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(unsafe.SliceData(src))),
			uintptr(offset), uintptr(size), uintptr(copies), uintptr(strideTensor), uintptr(strideSrc))
	}
}

// Get2D copies in the opposite direction of Set2D.
func (t *Tensor) Get2D(dst []byte, offset, size int64, copies int, strideTensor, strideDst int64) {
	t.check2D("Get2D", int64(len(dst)), offset, size, int64(copies), strideTensor, strideDst)
	if size > 0 && copies > 0 {
		call(c.TensorGet2D, uintptr(unsafe.Pointer(t)), uintptr(unsafe.Pointer(unsafe.SliceData(dst))),
			uintptr(offset), uintptr(size), uintptr(copies), uintptr(strideTensor), uintptr(strideDst))
	}
}

// Memset fills size bytes at offset with value. It panics if they are out of bounds.
func (t *Tensor) Memset(value byte, offset, size int64) {
	t.checkRange("Memset", offset, size)
	if size > 0 {
		call(c.TensorMemset, uintptr(unsafe.Pointer(t)), uintptr(value), uintptr(offset), uintptr(size), 0, 0, 0)
	}
}

// number is an element of a type that is not quantized; uint16 holds the bits of F16 and BF16.
type number interface {
	~int32 | ~int64 | ~float32 | ~uint16
}

// SetSlice copies s to byte offset of t's memory, as Set does.
func SetSlice[T number](t *Tensor, s []T, offset int64) { t.Set(bytesOf(s), offset) }

// GetSlice fills s from byte offset of t's memory, as Get does.
func GetSlice[T number](t *Tensor, s []T, offset int64) { t.Get(bytesOf(s), offset) }

// bytesOf returns the memory of s.
func bytesOf[T number](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
}

func (t *Tensor) checkRange(op string, offset, size int64) {
	switch {
	case t.data == 0:
		misuse(op, "the tensor has no memory: place it, or allocate its graph", t)
	case t.data >= nowhere:
		misuse(op, "the tensor's memory is only measured", t)
	}
	if total := t.Bytes(); offset < 0 || size < 0 || size > total || offset > total-size {
		misuse(op, fmt.Sprintf("%d bytes at offset %d are outside its %d bytes", size, offset, total), t)
	}
}

func (t *Tensor) check2D(op string, length, offset, size, copies, strideTensor, strideSlice int64) {
	if size < 0 || copies < 0 || copies > 1 && (strideTensor < size || strideSlice < size) {
		misuse(op, fmt.Sprintf("%d pieces of %d bytes with strides of %d and %d overlap", copies, size, strideTensor, strideSlice), t)
	}
	if size == 0 || copies == 0 {
		return
	}
	// Compared by division, so that no product can overflow.
	total := t.Bytes()
	if t.data != 0 && (offset < 0 || offset > total || size > total-offset ||
		copies > 1 && copies-1 > (total-offset-size)/strideTensor) {
		misuse(op, fmt.Sprintf("%d pieces of %d bytes from offset %d in strides of %d are outside its %d bytes",
			copies, size, offset, strideTensor, total), t)
	}
	t.checkRange(op, offset, size)
	if size > length || copies > 1 && copies-1 > (length-size)/strideSlice {
		misuse(op, fmt.Sprintf("%d pieces of %d bytes in strides of %d are outside a slice of %d bytes",
			copies, size, strideSlice, length), t)
	}
}
