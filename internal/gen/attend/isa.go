package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// isa is an instruction set.
type isa struct{ Set }

// repeated returns a vector filled with repetitions of the n words at m.
func (i isa) repeated(m Mem, n int) reg.VecVirtual {
	v := i.Vec()
	switch {
	case n == 1:
		VBROADCASTSS(m, v)
	case n == 2:
		VBROADCASTSD(m, v)
	case i.Wide():
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
	n, p := i.Vec(), i.Vec()
	low := i.Loaded(c.expLow)
	round := func() { // x = n + a remainder of at most 1/2
		if i.Wide() {
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
	if i.Wide() {
		k := K()
		VCMPPS(Imm(notLess), low, x, k)
		round()
		VSCALEFPS_Z(n, p, k, x)
		return
	}
	normal := i.Vec()
	VCMPPS(Imm(notLess), low, x, normal)
	VMAXPS(x, low, x) // n is to be a number
	round()
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, p)
	VANDPS(normal, p, x)
}
