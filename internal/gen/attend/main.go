// Command attend writes attend's assembly: kernel_amd64.s and its declarations kernel_amd64.go, and
// frame_amd64.go with the frame that the kernel keeps its state in. Package asm says what all
// functions have in common; here a function reads from top to bottom as the instructions that it
// emits.
package main

import (
	"flag"
	"log"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

func main() {
	frameFile := flag.String("frame", "frame_amd64.go", "`file` for the frame's type")
	flag.Parse() // avo adds -out and -stubs

	ConstraintExpr("amd64,!windows")
	newConstants()
	for _, i := range isas {
		constants.tables = append(constants.tables, i.tables())
		constants.columns = append(constants.columns, i.columnTables())
	}
	constants.columnsAMX = amxTables()
	setup()
	nextTree()
	begin()
	openRange()
	nextTile()
	listedRows()
	groupMasks()
	nextGroup()
	fold()
	output()
	columnQueries()
	columnMasks()
	nextColumn()
	foldColumns()
	columnOutputs()
	for _, i := range isas {
		for _, w := range []int{1, 2, 4} {
			i.softmax(w)
			i.seenValues(w)
		}
		if i.Wide() {
			i.columns()
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
	amx()
	Generate()

	if frame.Size() > frameSize {
		log.Fatal("the frame is larger than frameSize")
	}
	if err := WriteTypes(*frameFile, "attend", frame); err != nil {
		log.Fatal(err)
	}
}

var isas = []isa{{Set{Name: "AVX2", Lanes: 8}}, {Set{Name: "AVX512", Lanes: 16}}}

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
	bit                                        Mem // the first of a word
	sign                                       Mem // the last one
	bounds                                     Mem
	tables                                     []Mem   // of texts, by instruction set
	columns                                    [][]Mem // tables of columns, by instruction set and columnDims
	columnsAMX                                 [][]Mem // and of AMX, by pieces and stepDims
	upper                                      Mem     // mask of the upper 16 bits
	tileConfig                                 Mem     // of AMX
}

func newConstants() {
	c := &constants
	c.negInf = Floats("negInf", float32(math.Inf(-1)))
	c.lowest = Floats("lowest", -math.MaxFloat32)
	c.highest = Floats("highest", math.MaxFloat32)
	c.log2e = Floats("log2e", math.Log2E)
	c.one, c.two = Floats("one", 1), Floats("two", 2)
	c.expLow = Floats("expLow", -126)    // below, 2^x is no normal number
	c.tanhHigh = Floats("tanhHigh", 100) // above, tanh is 1 in float32
	for i, v := range Exp2 {
		c.exp[i] = Floats("exp"+string(rune('0'+i)), float32(v))
	}
	// ln((1+s)/(1-s)) = 2s(1 + s²/3 + s⁴/5 + …)
	for i := range c.log {
		c.log[i] = Floats("log"+string(rune('0'+i)), 2/float32(2*i+1))
	}
	c.ln2 = Floats("ln2", math.Ln2)
	c.mantissa = Words("mantissa", func(int) uint32 { return 0x7fffff })
	c.exponent = Words("exponent", func(int) uint32 { return 127 })
	c.nibble = Words("nibble", func(int) uint32 { return 15 })
	c.minus8 = Floats("minus8", -8)
	c.nibbles = Words("nibbles", func(i int) uint32 { return math.Float32bits(float32(i - 8)) })
	c.shift, c.step = map[int]Mem{}, map[int]Mem{}
	for _, g := range []int{1, 2, 4} {
		c.shift[g] = Words("shift"+string(rune('0'+g)), func(i int) uint32 { return uint32(31 - i/g) })
	}
	for _, n := range []int{2, 4, 8, 16} {
		c.step[n] = Words("step"+string(rune('a'+n)), func(int) uint32 { return uint32(n) })
	}
	c.bit = Words("bit", func(int) uint32 { return 1 })
	c.sign = Words("sign", func(int) uint32 { return 1 << 31 })
	c.upper = Words("upper", func(int) uint32 { return 0xffff0000 })
	c.tileConfig = TileConfigs("tileConfig", wholeTiles())
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
