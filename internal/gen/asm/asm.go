// Package asm has what the generators of attend's and of product's assembly share: labels and
// functions, registers and operands, structures in memory, constants, and the vectors of an
// instruction set. Like avo's packages it is imported with a dot, so that a function of a generator
// reads as the instructions that it emits.
//
// Every generated function takes the address of a frame in DI, keeps all other state in registers
// and in the frame, and clobbers every register but SP. None calls another, none uses the stack, and
// all are NOSPLIT: entry_amd64.s calls them on ggml's threads, which Go's runtime does not know.
//
// avo has three limitations: it prints F32(1) in DATA as an integer; it does not know VPXORD as a
// zeroing idiom; and it may assign Y16 to Y31 in instructions that cannot encode them, so AVX-512
// code uses Z registers, and X and Y registers only in instructions that have an EVEX form.
package asm

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in struct ggml_tensor.
const (
	TensorNe     = 16
	TensorNb     = 48
	TensorParams = 84 + 24 // behind ggml's own of a custom op
	TensorSrc    = 152
	TensorData   = 248
)

// begun is the number of labels so far, from which each new label takes its number.
var begun int

// NewLabel returns a label that no other place has. avo's Label places it.
func NewLabel(name string) string {
	begun++
	return fmt.Sprintf("%s%d", name, begun)
}

// Mark places a new label here and returns it.
func Mark(name string) string {
	l := NewLabel(name)
	Label(l)
	return l
}

// Text begins a function.
func Text(name, doc string) {
	TEXT(name, NOSPLIT|NOFRAME, "func()")
	Doc(doc)
	Pragma("noescape")
}

// Ret ends a function. The frame's address is in use up to it, so that avo assigns its register to
// nothing else.
func Ret() {
	TESTQ(reg.RDI, reg.RDI)
	RET()
}

// Int is a constant of an instruction.
func Int(n int) Constant {
	if n >= 0 && n < 128 {
		return Imm(uint64(n))
	}
	return U32(uint32(n))
}

// At is what lies disp bytes behind base.
func At(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// Indexed is what lies scale × index + disp bytes behind base.
func Indexed(base, index reg.Register, scale uint8, disp int) Mem {
	return Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

// Copied returns another register with the same value.
func Copied(r reg.GPVirtual) reg.GPVirtual {
	c := GP64()
	MOVQ(r, c)
	return c
}

// Word loads a 32-bit number with its sign.
func Word(m Mem) reg.GPVirtual {
	r := GP64()
	MOVLQSX(m, r)
	return r
}

// Quotient returns a/b; neither is negative.
func Quotient(a, b Op) reg.GPVirtual {
	XORL(reg.EDX, reg.EDX)
	MOVQ(a, reg.RAX)
	DIVQ(b)
	r := GP64()
	MOVQ(reg.RAX, r)
	return r
}

// Remainder returns a%b.
func Remainder(a, b Op) reg.GPVirtual {
	XORL(reg.EDX, reg.EDX)
	MOVQ(a, reg.RAX)
	DIVQ(b)
	r := GP64()
	MOVQ(reg.RDX, r)
	return r
}
