package asm

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Words emits 16 words of 32 bits, which are a vector of the widest instruction set. avo must have
// it before the functions that use it.
func Words(name string, word func(i int) uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(word(i)))
	}
	return m
}

// Floats emits 16 times the same f32.
func Floats(name string, v float32) Mem {
	return Words(name, func(int) uint32 { return math.Float32bits(v) })
}

// Exp2 are the coefficients of a polynomial for 2^x with |x| <= 1/2: the Taylor series with the last
// two coefficients adjusted for the smallest error.
var Exp2 = [7]float64{
	1, 6.931472028550421e-1, 2.402264791363012e-1, 5.550332471162809e-2, 9.618437357674640e-3,
	1.339887440266574e-3, 1.535336188319500e-4,
}

// Addresses emits a table of symbols' addresses, 8 bytes each: 0 for an empty name.
func Addresses(name string, symbols []string) Mem {
	m := GLOBL(name, NOPTR) // not RODATA: the addresses may be relocated when the program is loaded
	for i, s := range symbols {
		DATA(8*i, Address(s))
	}
	return m
}

// Address is that of a symbol, in a table of its own that is not RODATA; 0 if the name is empty.
func Address(symbol string) Constant {
	if symbol == "" {
		return U64(0)
	}
	return address{U64(0), symbol}
}

type address struct {
	Constant // of no value: for its methods
	symbol   string
}

func (a address) Asm() string { return "$" + a.symbol + "(SB)" }
