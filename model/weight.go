package model

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/product"
)

// weight is a tensor of the file and the one on a device.
type weight struct {
	source  gguf.Tensor
	tensor  *ggml.Tensor
	backend *ggml.Backend
	ops     []ggml.Op // the operations that read it
	second  bool      // another tensor of the same device has its rows looked up
	rows    bool      // that tensor: only a few of its rows are read

	parts    []gguf.Tensor     // of the file, whose rows are one behind the other; nil: the source
	asInFile bool              // it is used otherwise than by a Linear, as it is in the file
	numbers  bool              // it is multiplied by as it is in the file, but not by ggml
	products *product.Products // of a Linear: zero until the weight is packed for them
}

// packable reports whether the weight may be packed.
func (w weight) packable() bool { return w.products != nil && !w.asInFile }

// of returns the tensors of the file that the weight is made of.
func (w weight) of() []gguf.Tensor {
	if w.parts != nil {
		return w.parts
	}
	return []gguf.Tensor{w.source}
}

// table reports whether rows of the weight are looked up, and nothing else is done with it.
func (w weight) table() bool {
	return len(w.ops) > 0 && !slices.ContainsFunc(w.ops, func(op ggml.Op) bool { return op != ggml.OpGetRows })
}

// fits reports whether a device computes with the weight in an order of its own.
func (w weight) fits(extra ggml.BufferType) bool {
	if w.numbers {
		return false
	}
	for _, op := range w.ops {
		if !w.backend.SupportsWeight(op, w.tensor.Type(), w.tensor.Shape(), extra) {
			return false
		}
	}
	return len(w.ops) > 0
}
