package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// set is an instruction set.
type set struct{ Set }

// vectors is how many vectors have a word of each of a panel's rows.
func (s set) vectors() int { return 32 / s.Lanes }

func (s set) bytes() int { return 4 * s.Lanes }

// and returns x & y, of which y may be in memory.
func (s set) and(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.Vec()
	if s.Wide() {
		VPANDD(y, x, v)
	} else {
		VPAND(y, x, v)
	}
	return v
}

// or returns x | y, of which y may be in memory.
func (s set) or(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.Vec()
	if s.Wide() {
		VPORD(y, x, v)
	} else {
		VPOR(y, x, v)
	}
	return v
}

// orAnd makes x |= y & mask.
func (s set) orAnd(x, y reg.VecVirtual, mask Op) {
	if s.Wide() {
		VPTERNLOGD(Imm(0xF8), mask, y, x)
	} else {
		VPOR(s.and(y, mask), x, x)
	}
}

// shifted16 returns x with the 16-bit parts shifted right by n bits, or left by -n.
func (s set) shifted16(x Op, n int) reg.VecVirtual {
	if m, ok := x.(Mem); ok && (n == 0 || !s.Wide()) {
		x = s.Loaded(m)
	}
	v := s.Vec()
	switch {
	case n > 0:
		VPSRLW(Int(n), x, v)
	case n < 0:
		VPSLLW(Int(-n), x, v)
	default:
		return x.(reg.VecVirtual)
	}
	return v
}

// byteOf returns byte j of each word.
func (s set) byteOf(words reg.VecVirtual, j int) reg.VecVirtual {
	if j == 0 {
		return s.and(words, con("words255"))
	}
	v := s.Vec()
	VPSRLD(Int(8*j), words, v)
	if j < 3 {
		return s.and(v, con("words255"))
	}
	return v
}

// signedByteOf returns byte j of each word with its sign.
func (s set) signedByteOf(words reg.VecVirtual, j int) reg.VecVirtual {
	v := s.Vec()
	if j < 3 {
		VPSLLD(Int(24-8*j), words, v)
		VPSRAD(Int(24), v, v)
	} else {
		VPSRAD(Int(24), words, v)
	}
	return v
}

// float returns the whole numbers as f32.
func (s set) float(x reg.VecVirtual) reg.VecVirtual {
	v := s.Vec()
	VCVTDQ2PS(x, v)
	return v
}

// times returns the product of x and y, of which y may be in memory.
func (s set) times(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.Vec()
	VMULPS(y, x, v)
	return v
}

// half returns vector r of the 32 f16 at m.
func (s set) half(m Mem, r int) reg.VecVirtual {
	v := s.Vec()
	VCVTPH2PS(m.Offset(2*s.Lanes*r), v)
	return v
}

// where makes x |= value in the bytes in which y has the bit.
func (s set) where(x reg.VecVirtual, y Mem, bit reg.VecVirtual, value Op) {
	if s.Wide() {
		k := K()
		VPTESTMB(y, bit, k)
		VPADDB(value, x, k, x)
		return
	}
	v := s.and(bit, y)
	VPCMPEQB(bit, v, v)
	VPOR(s.and(v, value), x, x)
}
