package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// glu is a gated linear unit: what it makes of a vector of the gate and one of up, which is in memory.
type glu struct {
	name string
	of   func(s set, gate reg.VecVirtual, up Mem) reg.VecVirtual
}

// glus are the gated linear units, in the order of product.GLU.
var glus = []glu{{"silu", set.silu}, {"gelu", set.gelu}, {"clampedSiLU", set.clampedSiLU}}

// gluNames returns the names of an instruction set's functions for gated linear units.
func gluNames(set string) (all []string) {
	for _, u := range glus {
		all = append(all, u.name+set)
	}
	return all
}

// gluConstants are those of gated linear units.
func gluConstants() {
	const slope = -2 * math.Log2E * math.Sqrt2 / math.SqrtPi // of gelu's power at 0
	floats("minusLog2e", -math.Log2E)
	floats("geluLinear", slope)
	floats("geluCubic", slope*0.044715)
	floats("clampedSlope", -1.702*math.Log2E)
	floats("f7", 7)
	floats("fMinus7", -7)
}

// emitGLUs emits the functions for gated linear units. newWrite emits what is needed once in a function, and
// returns what quantises 32 values.
func (s set) emitGLUs(names []string, newWrite func() func(w written, values []reg.VecVirtual)) {
	for i, u := range glus {
		Text(names[i], names[i]+" quantises what a gated linear unit makes of gates and ups: tokens t to tEnd, block b.")
		write := newWrite()
		gate, up := load("gates"), load("ups")
		tokens := Mark("tokens")
		w := newWritten(f("t"), f("b"))
		var values []reg.VecVirtual
		for i := range s.vectors() {
			at := i * s.bytes()
			values = append(values, u.of(s, s.Loaded(At(gate, at)), At(up, at)))
		}
		write(w, values)
		ADDQ(Int(128), gate)
		ADDQ(Int(128), up)
		INCQ(f("t"))
		t := load("t")
		CMPQ(t, f("tEnd"))
		JLT(LabelRef(tokens))
		Ret()
	}
}

// silu returns x/(1+2^(-x·log2 e)) times up.
func (s set) silu(x reg.VecVirtual, up Mem) reg.VecVirtual {
	p := s.Vec()
	VMULPS(con("minusLog2e"), x, p)
	y := s.weighted(x, p)
	VMULPS(up, y, y)
	return y
}

// gelu returns x/(1+2^p) times up; p is x times a polynomial of x².
func (s set) gelu(x reg.VecVirtual, up Mem) reg.VecVirtual {
	p, square := s.Loaded(con("geluLinear")), s.Vec()
	VMULPS(x, x, square)
	VFMADD231PS(con("geluCubic"), square, p)
	VMULPS(p, x, p)
	y := s.weighted(x, p)
	VMULPS(up, y, y)
	return y
}

// clampedSiLU returns x/(1+2^(-x·1.702·log2 e)) times up and 1; x is at most 7, and up from -7 to 7.
func (s set) clampedSiLU(x reg.VecVirtual, up Mem) reg.VecVirtual {
	high, p := s.Loaded(con("f7")), s.Vec()
	VMINPS(x, high, x) // NaN stays NaN
	VMULPS(con("clampedSlope"), x, p)
	y := s.weighted(x, p)
	u, low := s.Loaded(up), s.Loaded(con("fMinus7"))
	VMINPS(u, high, u)
	VMAXPS(u, low, u)
	VADDPS(con("f1"), u, u)
	VMULPS(u, y, y)
	return y
}

// weighted returns x/(1+2^p).
func (s set) weighted(x, p reg.VecVirtual) reg.VecVirtual {
	y := s.exp2(p)
	VADDPS(con("f1"), y, y)
	VDIVPS(y, x, y)
	return y
}

// exp2 returns 2^x, for which it needs x's register. Powers are of -126 to 127: the sum beside 1, and
// the quotient, are then what they would be without that, or of no consequence. So is that AVX2's
// power may lack bits where it is smaller than f32's normal numbers.
func (s set) exp2(x reg.VecVirtual) reg.VecVirtual {
	n, y := s.Vec(), s.Vec()
	low, high := s.Loaded(con("fMinus126")), s.Loaded(con("f127"))
	VMAXPS(x, low, x)
	VMINPS(x, high, x) // NaN stays NaN
	if s.Wide() {
		VRNDSCALEPS(Imm(0), x, n)
	} else {
		VROUNDPS(Imm(0), x, n)
	}
	VSUBPS(n, x, x)
	VMOVUPS(con("exp6"), y)
	for j := 5; j >= 0; j-- {
		VFMADD213PS(con("exp"+itoa(j)), x, y)
	}
	if s.Wide() {
		VSCALEFPS(n, y, y)
		return y
	}
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, y, y)
	return y
}
