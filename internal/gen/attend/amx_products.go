package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// AMX's tiles: two of sums, three for pieces of keys or values, and three of a query's or a weight's
// pieces.
const (
	amxSums  = 0
	amxLeft  = 2
	amxRight = 5
)

// The registers of functions that multiply tiles: avo does not see where instructions for tiles use
// them.
var (
	amxRow = reg.RAX // bytes of a tile's row
	amxA   = reg.RSI // keys or values
	amxB   = reg.RDX // queries or weights
	amxC   = reg.RCX // sums
	amxN   = reg.RBX // numbers that are left
)

func loadAMX(tile int, base reg.Register, disp int) { LoadTile(tile, base, amxRow, 1, disp) }

func storeAMX(tile int, base reg.Register, disp int) { StoreTile(tile, base, amxRow, 1, disp) }

// multiply adds products of the pieces from disp on behind amxA and of those that are loaded.
func multiply(sums int, products []term, disp int) {
	left := 0
	for i, p := range products {
		if i == 0 || p.a != products[i-1].a {
			left = amxLeft + (sums+i)%3
			loadAMX(left, amxA, disp+tileBytes*p.a)
		}
		MultiplyHalves(amxSums+sums, left, amxRight+p.b)
	}
}

// amxScores computes the products of the tile's keys with a column's queries. The small products of all
// numbers come first, and then the large ones: so a sum is rounded at its full size as late as possible.
func amxScores(pieces int) {
	name := fmt.Sprintf("opColumnScoresAMX%d", pieces)
	Text(name, name+" multiplies the tile's keys with a column's queries.")
	MOVQ(U32(64), amxRow)
	ZeroTile(amxSums)
	ZeroTile(amxSums + 1)
	all := terms(pieces)
	for _, products := range [][]term{all[:len(all)-1], all[len(all)-1:]} {
		Comment("the column's queries have 1.5 times the bytes in pieces")
		MOVQ(f("qp"), amxB)
		SUBQ(f("qs"), amxB)
		MOVQ(amxB, amxN)
		SHRQ(Imm(1), amxN)
		ADDQ(amxN, amxB)
		ADDQ(f("qa"), amxB)
		MOVQ(f("ka"), amxA)
		MOVQ(f("dk"), amxN)
		dims := Mark("dims")
		for i := range 3 {
			if i == 0 || len(products) > 1 {
				loadAMX(amxRight+i, amxB, tileBytes*i)
			}
		}
		for block := range 2 {
			multiply(block, products, block*pieces*tileBytes)
		}
		ADDQ(Int(2*pieces*tileBytes), amxA)
		ADDQ(Int(3*tileBytes), amxB)
		SUBQ(Imm(32), amxN)
		JNZ(LabelRef(dims))
	}
	MOVQ(f("scores"), amxC)
	storeAMX(amxSums, amxC, 0)
	storeAMX(amxSums+1, amxC, tileBytes)
	wildScores()
	Ret()
}

// wildScores computes the scores of cells whose keys are not all finite.
func wildScores() {
	bits, none := load("kWild"), NewLabel("none")
	TESTQ(bits, bits)
	JEQ(LabelRef(none))
	Comment("keys that are not finite")
	cells := Mark("cells")
	cell := nextBit(bits)
	key, q, n, sum := Copied(cell), load("qp"), load("dk"), isas[1].Zero()
	IMULQ(f("dkb"), key)
	ADDQ(f("kt"), key)
	dims := Mark("dims")
	VFMADD231PS(At(q, 0), isas[1].Broadcast(At(key, 0)), sum)
	ADDQ(Imm(4), key)
	ADDQ(Imm(columnBytes), q)
	DECQ(n)
	JNZ(LabelRef(dims))
	VMOVUPS(sum, rowOfScores(cell))
	TESTQ(bits, bits)
	JNZ(LabelRef(cells))
	Label(none)
}

// nextBit takes the lowest bit from bits, and returns its number.
func nextBit(bits reg.GPVirtual) reg.GPVirtual {
	n := GP64()
	TZCNTQ(bits, n)
	BLSRQ(bits, bits)
	return n
}

// rowOfScores is the row of a column's scores of a cell, whose register it changes.
func rowOfScores(cell reg.GPVirtual) Mem {
	SHLQ(Imm(6), cell)
	ADDQ(f("scores"), cell)
	return At(cell, 0)
}

// amxValues adds the tile's values, weighted, to a column's outputs. Weights of cells that a vector does
// not see are zero, and add exactly nothing.
func amxValues(pieces int) {
	name := fmt.Sprintf("opColumnValuesAMX%d", pieces)
	Text(name, name+" adds the tile's values to a column's outputs.")
	MOVQ(f("op"), amxC)
	scaleOutputs(f("corr"))
	Comment("pieces of the weights")
	row := GP64()
	MOVQ(U32(columnBytes), row)
	clearBehind(load("scores"), row)
	splitRows(load("scores"), load("pa"), isas[1].Loaded(constants.upper))
	MOVQ(f("op"), amxC)
	MOVQ(f("pa"), amxB)
	addProducts(pieces)
	wildValues()
	Ret()
}

// amxValuesBefore adds the tile's values to the outputs of the column before the one at hand. Its weights
// are pieces since amxStep, and whatever waits for them has been stored long before.
func amxValuesBefore(pieces int) {
	name := fmt.Sprintf("opColumnValuesBeforeAMX%d", pieces)
	Text(name, name+" adds the tile's values to the outputs of the column before.")
	before := func() {
		MOVQ(f("op"), amxC)
		MOVQ(f("dvb"), amxB)
		SHLQ(Imm(4), amxB)
		SUBQ(amxB, amxC)
		MOVQ(f("pb"), amxB)
	}
	before()
	scaleOutputs(At(amxB, 3*tileBytes))
	before()
	addProducts(pieces)
	Ret()
}

// addProducts adds the products of the tile's values and the pieces of weights at amxB to the outputs at
// amxC.
func addProducts(pieces int) {
	Comment("products")
	MOVQ(U32(64), amxRow)
	MOVQ(f("va"), amxA)
	MOVQ(f("dv"), amxN)
	for i := range 3 {
		loadAMX(amxRight+i, amxB, tileBytes*i)
	}
	values := Mark("values")
	for i := range 2 {
		loadAMX(amxSums+i, amxC, tileBytes*i)
		multiply(i, terms(pieces), tileBytes*pieces*i)
		storeAMX(amxSums+i, amxC, tileBytes*i)
	}
	ADDQ(Int(2*pieces*tileBytes), amxA)
	ADDQ(Int(2*tileBytes), amxC)
	SUBQ(Imm(32), amxN)
	JNZ(LabelRef(values))
}

// scaleOutputs multiplies the outputs at amxC by corr, if that is not 1 for all of the column's vectors.
func scaleOutputs(m Mem) {
	same, corr, changed := NewLabel("same"), isas[1].Loaded(m), K()
	VCMPPS(Imm(0x04), constants.one, corr, changed) // not equal, or unordered
	KORTESTW(changed, changed)
	JEQ(LabelRef(same))
	Comment("maxima have changed")
	p, n := GP64(), load("dv")
	MOVQ(amxC, p)
	loop := Mark("scale")
	for i := range 8 {
		v := ZMM()
		VMULPS(At(p, columnBytes*i), corr, v)
		VMOVUPS(v, At(p, columnBytes*i))
	}
	ADDQ(Int(8*columnBytes), p)
	SUBQ(Imm(8), n)
	JNZ(LabelRef(loop))
	Label(same)
}

// wildValues adds the values that are not finite to the outputs of the vectors that see their cells.
func wildValues() {
	bits, none := load("vWild"), NewLabel("none")
	TESTQ(bits, bits)
	JEQ(LabelRef(none))
	Comment("values that are not finite")
	lanes, all := ZMM(), NewLabel("all")
	VPBROADCASTD(f("full"), lanes)
	CMPQ(f("partial"), Imm(0))
	JEQ(LabelRef(all))
	VMOVUPS(f("vecMask"), lanes)
	Label(all)
	cells := Mark("cells")
	bit, which, sees := GP64(), ZMM(), K()
	BLSIQ(bits, bit)
	VPBROADCASTD(bit.As32(), which)
	VPTESTMD(which, lanes, sees)
	cell := nextBit(bits)
	value, out, n := Copied(cell), load("op"), load("dv")
	IMULQ(f("dvb"), value)
	ADDQ(f("vt"), value)
	weights := isas[1].Loaded(rowOfScores(cell))
	values := Mark("values")
	v, o, k := isas[1].Broadcast(At(value, 0)), isas[1].Loaded(At(out, 0)), K()
	VFPCLASSPSZ(Imm(notFinite), v, k)
	KANDW(sees, k, k)
	VFMADD231PS(weights, v, k, o)
	VMOVUPS(o, At(out, 0))
	ADDQ(Imm(4), value)
	ADDQ(Imm(columnBytes), out)
	DECQ(n)
	JNZ(LabelRef(values))
	TESTQ(bits, bits)
	JNZ(LabelRef(cells))
	Label(none)
}
