// Command gen writes attend's assembly: kernel_amd64.s and its declarations kernel_amd64.go, and
// frame_amd64.go with the frame that the kernel keeps its state in. It is a module of its own, so
// that users of ebb do not inherit avo.
//
// Every function takes the address of a frame in DI, keeps all other state in registers and in the
// frame, and clobbers every register but SP. None calls another, none uses the stack, and all are
// NOSPLIT: entry_amd64.s calls them on ggml's threads, which Go's runtime does not know.
//
// A function reads from top to bottom as the instructions that it emits. avo has three limitations:
// it prints F32(1) in DATA as an integer; it does not know VPXORD as a zeroing idiom; and it may
// assign Y16 to Y31 in instructions that cannot encode them, so AVX-512 code uses Z registers, and
// X registers only in instructions that have an EVEX form.
package main

import (
	"flag"
	"log"
	"math"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func main() {
	frameFile := flag.String("frame", "frame_amd64.go", "`file` for the frame's type")
	flag.Parse() // avo adds -out and -stubs

	ConstraintExpr("amd64,!windows")
	newConstants()
	for _, i := range isas {
		constants.tables = append(constants.tables, i.tables())
	}
	setup()
	begin()
	openRange()
	nextTile()
	listedRow()
	groupMasks()
	nextGroup()
	fold()
	output()
	for _, i := range isas {
		for _, w := range []int{1, 2, 4} {
			i.softmax(w)
			i.seenValues(w)
		}
		for _, k := range kinds {
			k.expand(i)
			k.gather(i)
			for g := 1; g <= 4 && k.direct; g++ {
				k.scores(i, g)
				k.values(i, g)
			}
		}
	}
	Generate()

	if err := os.WriteFile(*frameFile, frameSource(), 0o644); err != nil {
		log.Fatal(err)
	}
}

var isas = []isa{{"AVX2", 8}, {"AVX512", 16}}

// constants in memory, 16 lanes each.
var constants struct {
	negInf, lowest, one, two, expLow, tanhHigh Mem
	highest, log2e                             Mem
	exp                                        [7]Mem
	log                                        [7]Mem
	ln2, mantissa                              Mem
	exponent                                   Mem // 127
	nibble, minus8                             Mem
	nibbles                                    Mem // value of each 4-bit code of q4_0
	shift                                      map[int]Mem
	step                                       map[int]Mem
	bounds                                     Mem
	tables                                     []Mem // of texts, by instruction set
}

func newConstants() {
	c := &constants
	c.negInf = floats("negInf", float32(math.Inf(-1)))
	c.lowest = floats("lowest", -math.MaxFloat32)
	c.highest = floats("highest", math.MaxFloat32)
	c.log2e = floats("log2e", math.Log2E)
	c.one, c.two = floats("one", 1), floats("two", 2)
	c.expLow = floats("expLow", -126)    // below, 2^x is no normal number
	c.tanhHigh = floats("tanhHigh", 100) // above, tanh is 1 in float32
	// 2^x for |x| <= 1/2: the Taylor series with the last two coefficients adjusted for the
	// smallest error.
	for i, v := range []float64{1, 6.931472028550421e-1, 2.402264791363012e-1, 5.550332471162809e-2, 9.618437357674640e-3, 1.339887440266574e-3, 1.535336188319500e-4} {
		c.exp[i] = floats("exp"+string(rune('0'+i)), float32(v))
	}
	// ln((1+s)/(1-s)) = 2s(1 + s²/3 + s⁴/5 + …)
	for i := range c.log {
		c.log[i] = floats("log"+string(rune('0'+i)), 2/float32(2*i+1))
	}
	c.ln2 = floats("ln2", math.Ln2)
	c.mantissa = words("mantissa", func(int) uint32 { return 0x7fffff })
	c.exponent = words("exponent", func(int) uint32 { return 127 })
	c.nibble = words("nibble", func(int) uint32 { return 15 })
	c.minus8 = floats("minus8", -8)
	c.nibbles = words("nibbles", func(i int) uint32 { return math.Float32bits(float32(i - 8)) })
	c.shift, c.step = map[int]Mem{}, map[int]Mem{}
	for _, g := range []int{1, 2, 4} {
		c.shift[g] = words("shift"+string(rune('0'+g)), func(i int) uint32 { return uint32(31 - i/g) })
	}
	for _, n := range []int{2, 4, 8, 16} {
		c.step[n] = words("step"+string(rune('a'+n)), func(int) uint32 { return uint32(n) })
	}
	c.bounds = GLOBL("bounds", RODATA|NOPTR)
	for i, b := range bounds() {
		DATA(4*i, U32(b))
	}
}

// bounds are the first cells of the ranges, followed by the largest number: 256 cells per range up
// to 4096, and from there on an eighth of the cells before the range, rounded down to a power of
// two. rangesOf in layout.go gives the reason.
func bounds() (b []uint32) {
	const most = 1 << 30
	for c := uint32(0); c < most; {
		b = append(b, c)
		n := uint32(256)
		for 16*n <= c {
			n *= 2
		}
		c += n
	}
	return append(b, math.MaxInt32)
}

func floats(name string, v float32) Mem {
	return words(name, func(int) uint32 { return math.Float32bits(v) })
}

func words(name string, v func(i int) uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(v(i)))
	}
	return m
}
