package main

import (
	"fmt"
	"math"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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

// text begins a function.
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

// copied returns another register with the same value.
func copied(r reg.GPVirtual) reg.GPVirtual {
	c := GP64()
	MOVQ(r, c)
	return c
}

// constants are 64 bytes each in memory, by what they repeat.
var constants = map[string]Mem{}

func words(name string, word func(i int) uint32) {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(word(i)))
	}
	constants[name] = m
}

// newConstants emits the constants. avo must have them before the functions.
func newConstants() {
	for _, b := range []int{1, 2, 3, 4, 8, 15, 16, 32, 48, 63, 128} {
		words(fmt.Sprintf("bytes%d", b), func(int) uint32 { return 0x01010101 * uint32(b) })
	}
	for _, w := range []int{1, 2, 15, 32, 48, 255} {
		words(fmt.Sprintf("words%d", w), func(int) uint32 { return uint32(w) })
	}
	words("magnitude", func(int) uint32 { return 0x7fffffff })
	words("sign", func(int) uint32 { return 0x80000000 })
	words("eighth", func(int) uint32 { return 0x00200000 }) // 2^-128 in f32: MXFP4's smallest scale
	floats := func(name string, v float32) { words(name, func(int) uint32 { return math.Float32bits(v) }) }
	floats("f127", 127)
	floats("f1", 1)
	floats("fMinus126", -126)
	floats("minusLog2e", -math.Log2E)
	// 2^x for |x| <= 1/2: attend's polynomial.
	for i, v := range []float64{1, 6.931472028550421e-1, 2.402264791363012e-1, 5.550332471162809e-2, 9.618437357674640e-3, 1.339887440266574e-3, 1.535336188319500e-4} {
		floats(fmt.Sprintf("exp%d", i), float32(v))
	}
	// The bits of the index, each 4 bits high in a byte of its own: 5th bits of 4 codes.
	words("spread", func(i int) uint32 {
		return uint32(i&1)<<4 | uint32(i>>1&1)<<12 | uint32(i>>2&1)<<20 | uint32(i>>3&1)<<28
	})
	table := func(name string, values [16]int, offset int) {
		words(name, func(i int) (w uint32) {
			for b := range 4 {
				w |= uint32(uint8(values[i%4*4+b]+offset)) << (8 * b)
			}
			return w
		})
	}
	table("iq4nl", [16]int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, 128)
	table("mxfp4", [16]int{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}, 16)
}

func con(name string) Mem {
	m, ok := constants[name]
	if !ok {
		panic("no constant " + name)
	}
	return m
}

// set is an instruction set.
type set struct {
	name  string
	lanes int // of 32 bits in a vector
}

func (s set) wide() bool { return s.lanes == 16 }

// vectors is how many vectors have a word of each of a panel's rows.
func (s set) vectors() int { return 32 / s.lanes }

func (s set) bytes() int { return 4 * s.lanes }

// vec returns a vector register.
func (s set) vec() reg.VecVirtual {
	if s.wide() {
		return ZMM()
	}
	return YMM()
}

// zero returns a vector of zeros.
func (s set) zero() reg.VecVirtual {
	v := s.vec()
	VXORPS(v, v, v)
	return v
}

// load returns a vector loaded from m.
func (s set) load(m Mem) reg.VecVirtual {
	v := s.vec()
	VMOVUPS(m, v)
	return v
}

// broadcast returns a vector of the word at m.
func (s set) broadcast(m Mem) reg.VecVirtual {
	v := s.vec()
	VBROADCASTSS(m, v)
	return v
}

// and returns x & y, of which y may be in memory.
func (s set) and(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.vec()
	if s.wide() {
		VPANDD(y, x, v)
	} else {
		VPAND(y, x, v)
	}
	return v
}

// or returns x | y, of which y may be in memory.
func (s set) or(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.vec()
	if s.wide() {
		VPORD(y, x, v)
	} else {
		VPOR(y, x, v)
	}
	return v
}

// orAnd makes x |= y & mask.
func (s set) orAnd(x, y reg.VecVirtual, mask Op) {
	if s.wide() {
		VPTERNLOGD(Imm(0xF8), mask, y, x)
	} else {
		VPOR(s.and(y, mask), x, x)
	}
}

// shifted16 returns x with the 16-bit parts shifted right by n bits, or left by -n.
func (s set) shifted16(x Op, n int) reg.VecVirtual {
	if m, ok := x.(Mem); ok && (n == 0 || !s.wide()) {
		x = s.load(m)
	}
	v := s.vec()
	switch {
	case n > 0:
		VPSRLW(imm(n), x, v)
	case n < 0:
		VPSLLW(imm(-n), x, v)
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
	v := s.vec()
	VPSRLD(imm(8*j), words, v)
	if j < 3 {
		return s.and(v, con("words255"))
	}
	return v
}

// signedByteOf returns byte j of each word with its sign.
func (s set) signedByteOf(words reg.VecVirtual, j int) reg.VecVirtual {
	v := s.vec()
	if j < 3 {
		VPSLLD(imm(24-8*j), words, v)
		VPSRAD(imm(24), v, v)
	} else {
		VPSRAD(imm(24), words, v)
	}
	return v
}

// float returns the whole numbers as f32.
func (s set) float(x reg.VecVirtual) reg.VecVirtual {
	v := s.vec()
	VCVTDQ2PS(x, v)
	return v
}

// times returns the product of x and y, of which y may be in memory.
func (s set) times(x reg.VecVirtual, y Op) reg.VecVirtual {
	v := s.vec()
	VMULPS(y, x, v)
	return v
}

// half returns vector r of the 32 f16 at m.
func (s set) half(m Mem, r int) reg.VecVirtual {
	v := s.vec()
	VCVTPH2PS(m.Offset(2*s.lanes*r), v)
	return v
}

// where makes x |= value in the bytes in which y has the bit.
func (s set) where(x reg.VecVirtual, y Mem, bit reg.VecVirtual, value Op) {
	if s.wide() {
		k := K()
		VPTESTMB(y, bit, k)
		VPADDB(value, x, k, x)
		return
	}
	v := s.and(bit, y)
	VPCMPEQB(bit, v, v)
	VPOR(s.and(v, value), x, x)
}

// log2 returns the logarithm of a power of two.
func log2(n int) int { return bits.TrailingZeros(uint(n)) }
