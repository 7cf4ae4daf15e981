package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// struct ggml_tensor.
const (
	tensorNe     = 16
	tensorNb     = 48
	tensorParams = 84 + 24 // behind ggml's own of a custom op
	tensorSrc    = 152
	tensorData   = 248
)

// begun is the number of labels so far, from which each new label takes its number.
var begun int

func label(name string) string {
	begun++
	return fmt.Sprintf("%s%d", name, begun)
}

// mark places a new label here and returns it.
func mark(name string) string {
	l := label(name)
	Label(l)
	return l
}

func text(name, doc string) {
	TEXT(name, NOSPLIT|NOFRAME, "func()")
	Doc(doc)
	Pragma("noescape")
}

// ret ends a function. The frame's address is in use up to it, so that avo assigns its register to
// nothing else.
func ret() {
	TESTQ(reg.RDI, reg.RDI)
	RET()
}

// imm is a constant of an instruction.
func imm(n int) Constant {
	if n >= 0 && n < 128 {
		return Imm(uint64(n))
	}
	return U32(uint32(n))
}

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

func indexed(base, index reg.Register, scale uint8, disp int) Mem {
	return Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

func store(r Op, name string) { MOVQ(r, f(name)) }

// copied returns another register with the same value.
func copied(r reg.GPVirtual) reg.GPVirtual {
	c := GP64()
	MOVQ(r, c)
	return c
}

// word loads a 32-bit number with its sign.
func word(m Mem) reg.GPVirtual {
	r := GP64()
	MOVLQSX(m, r)
	return r
}

// quotient returns a/b; neither is negative.
func quotient(a, b Op) reg.GPVirtual {
	XORL(reg.EDX, reg.EDX)
	MOVQ(a, reg.RAX)
	DIVQ(b)
	r := GP64()
	MOVQ(reg.RAX, r)
	return r
}

// remainder returns a%b.
func remainder(a, b Op) reg.GPVirtual {
	XORL(reg.EDX, reg.EDX)
	MOVQ(a, reg.RAX)
	DIVQ(b)
	r := GP64()
	MOVQ(reg.RDX, r)
	return r
}

// isa is an instruction set.
type isa struct {
	name  string
	lanes int // of 32 bits in a vector
}

func (i isa) wide() bool { return i.lanes == 16 }

// vec returns a vector register.
func (i isa) vec() reg.VecVirtual {
	if i.wide() {
		return ZMM()
	}
	return YMM()
}

// zero returns a vector of zeros.
func (i isa) zero() reg.VecVirtual {
	v := i.vec()
	VXORPS(v, v, v)
	return v
}

// loaded returns a vector loaded from m.
func (i isa) loaded(m Mem) reg.VecVirtual {
	v := i.vec()
	VMOVUPS(m, v)
	return v
}

// broadcast returns a vector of the f32 at m.
func (i isa) broadcast(m Mem) reg.VecVirtual {
	v := i.vec()
	VBROADCASTSS(m, v)
	return v
}

// repeated returns a vector filled with repetitions of the n words at m.
func (i isa) repeated(m Mem, n int) reg.VecVirtual {
	v := i.vec()
	switch {
	case n == 1:
		VBROADCASTSS(m, v)
	case n == 2:
		VBROADCASTSD(m, v)
	case i.wide():
		VBROADCASTF32X4(m, v)
	default:
		VBROADCASTF128(m, v)
	}
	return v
}

// exp2 replaces x by 2^x, rounded to zero below 2^-126. NaN stays NaN.
func (i isa) exp2(x reg.VecVirtual) {
	const notLess = 0x15 // or unordered
	c := &constants
	n, p := i.vec(), i.vec()
	low := i.loaded(c.expLow)
	round := func() { // x = n + a remainder of at most 1/2
		VMAXPS(x, low, x)
		if i.wide() {
			VRNDSCALEPS(Imm(0), x, n)
		} else {
			VROUNDPS(Imm(0), x, n)
		}
		VSUBPS(n, x, x)
		VMOVUPS(c.exp[6], p)
		for j := 5; j >= 0; j-- {
			VFMADD213PS(c.exp[j], x, p)
		}
	}
	if i.wide() {
		k := K()
		VCMPPS(Imm(notLess), low, x, k)
		round()
		VSCALEFPS_Z(n, p, k, x)
		return
	}
	normal := i.vec()
	VCMPPS(Imm(notLess), low, x, normal)
	round()
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, p)
	VANDPS(normal, p, x)
}
