package gguf

import (
	"fmt"
	"math/bits"
)

// Tensor describes a tensor and the place of its bytes. It stays valid after File.Close.
type Tensor struct {
	Name   string
	Type   Type
	Shape  []int64 // elements in each dimension, in ggml order: innermost first; 1 to 4 dimensions, each at least 1
	Part   int     // the file that it is in, of File.Parts
	Offset int64   // of the first byte, from the start of the file
	Size   int64   // bytes
}

// maxDims is the number of dimensions that a ggml tensor has.
const maxDims = 4

// Elements returns the number of elements.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// String describes t, as in `output_norm.weight f32 [64]`.
func (t Tensor) String() string { return fmt.Sprintf("%s %s %d", t.Name, t.Type, t.Shape) }

// ollamaMXFP4 is the type with which files of Ollama have MXFP4 weights. It is that of Q4_2, which ggml
// has removed; MXFP4 in ggml's order is another one.
const ollamaMXFP4 Type = 4

// sizeOf returns the bytes of a tensor, or what is wrong with its type or shape.
func sizeOf(t Type, shape []int64) (int64, error) {
	if t == ollamaMXFP4 {
		return 0, fmt.Errorf("unknown tensor type %d, which Ollama writes for weights of gpt-oss in an order of its own, want a file from llama.cpp's converter", uint32(t))
	}
	if !t.Known() {
		return 0, fmt.Errorf("unknown tensor type %d, want one of the %d types up to %d (%s)", uint32(t), knownTypes(), len(layouts)-1, Type(len(layouts)-1))
	}
	if len(shape) < 1 || len(shape) > maxDims {
		return 0, fmt.Errorf("%d dimensions, want 1 to %d", len(shape), maxDims)
	}
	n := int64(1)
	for i, d := range shape {
		if d < 1 {
			return 0, fmt.Errorf("dimension %d is %d, want 1 or more", i, d)
		}
		hi, lo := bits.Mul64(uint64(n), uint64(d))
		if hi != 0 || lo > maxElements {
			return 0, fmt.Errorf("shape %d has more than 2^55 elements", shape)
		}
		n = int64(lo)
	}
	if shape[0]%t.BlockSize() != 0 {
		return 0, fmt.Errorf("rows of %d elements, want a multiple of %d for type %s", shape[0], t.BlockSize(), t)
	}
	return n / t.BlockSize() * t.TypeSize(), nil
}

// maxElements keeps the size in bytes of any tensor, and the sum of any size and any offset within
// a file, inside an int64.
const maxElements = 1 << 55

func knownTypes() (n int) {
	for t := range layouts {
		if Type(t).Known() {
			n++
		}
	}
	return n
}
