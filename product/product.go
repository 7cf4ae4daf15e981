// Package product multiplies by weights on the CPU, as operations of ebb's own in ggml's graphs.
//
// Quantised weights lie in panels of 32 rows, into which [Pack] puts them once; activations are
// quantised to bytes, 32 values at a time, by an operation of their own, and every product of the same
// input reads them. Weights of f32, f16 and bf16 lie as in the file: see [Products.Plain].
//
// A result is the same bits whatever the number of tokens, the token's place among them, the number of
// threads, and the instruction set: the sums of 32 quantised values are whole numbers, and all else is
// added up in one order. docs/product.md describes the formats and the kernels.
package product

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Rows is the number of rows of a panel.
const Rows = 32

// Products multiplies on a device. Its zero value takes no weights, and leaves them to ggml.
type Products struct{ set isa.ISA }

// On returns how to multiply on a device. set is the kernels' instruction set if the device is the
// CPU.
func On(d *ggml.Device, set isa.ISA) Products {
	if d.Type() != ggml.CPU {
		return Products{}
	}
	return Of(set)
}

// Of returns how to multiply on the CPU. It needs no library.
func Of(set isa.ISA) Products {
	set = set.Resolved()
	if set != isa.Go && !vectors(set) {
		return Products{}
	}
	return Products{set}
}

// Any reports whether there are kernels on the device.
func (p Products) Any() bool { return p.set > isa.GGML }

// Takes reports whether there are kernels for a matrix [in, out] of a type.
func (p Products) Takes(t ggml.Type, in, out int64) bool {
	f, ok := formats[t]
	return ok && p.Any() && in > 0 && out > 0 && in%f.values == 0 && out%Rows == 0
}
