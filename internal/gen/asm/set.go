package asm

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Set is an instruction set.
type Set struct {
	Name  string
	Lanes int // of 32 bits in a vector: 8 or 16
}

// Wide is set for AVX-512.
func (s Set) Wide() bool { return s.Lanes == 16 }

// Vec returns a vector register.
func (s Set) Vec() reg.VecVirtual {
	if s.Wide() {
		return ZMM()
	}
	return YMM()
}

// Zero returns a vector of zeros.
func (s Set) Zero() reg.VecVirtual {
	v := s.Vec()
	VXORPS(v, v, v)
	return v
}

// Loaded returns a vector loaded from m.
func (s Set) Loaded(m Mem) reg.VecVirtual {
	v := s.Vec()
	VMOVUPS(m, v)
	return v
}

// Broadcast returns a vector of the word at m.
func (s Set) Broadcast(m Mem) reg.VecVirtual {
	v := s.Vec()
	VBROADCASTSS(m, v)
	return v
}
