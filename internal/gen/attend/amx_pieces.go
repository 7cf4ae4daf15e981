package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// notFinite are the classes of NaN and infinities for VFPCLASSPS.
const notFinite = 0x99

// tilePieces makes the pieces of a tile's keys, [dk/32][2][pieces] tiles of [16 cells][16 pairs], and
// of its values, [dv/16][pieces] tiles of [16 values][16 pairs of cells].
//
// A tile would let a number that is not finite touch vectors that do not see its cell, because zero
// times NaN is NaN. There are zeros in its place, and kWild and vWild name the cells that have any.
func tilePieces(pieces int) {
	name := fmt.Sprintf("opPiecesAMX%d", pieces)
	Text(name, fmt.Sprintf("%s makes the pieces, %d at most, of the tile's keys and values.", name, pieces))
	upper := isas[1].Loaded(constants.upper)
	for _, s := range []string{"k", "v"} {
		clearBehind(load(s+"t"), load("d"+s+"b"))
	}
	any := noLanes()
	keyPieces(pieces, upper, any)
	noteWild("kWild", "kt", "dkb", any)
	any = noLanes()
	valuePieces(pieces, upper, any)
	noteWild("vWild", "vt", "dvb", any)

	Comment("whether columns may be together")
	together, no := GP64(), NewLabel("no")
	XORL(together.As32(), together.As32())
	store(together, "partial")
	CMPQ(f("tn"), Imm(32))
	JNE(LabelRef(no))
	for _, name := range []string{"hidden", "kWild", "vWild", "cap"} {
		CMPQ(f(name), Imm(0))
		JNE(LabelRef(no))
	}
	INCQ(together)
	Label(no)
	store(together, "together")
	Ret()
}

// clearBehind makes the rows behind the tile's last cell zeros, up to 32. A tile that is not whole is
// one that was expanded.
func clearBehind(rows, row reg.GPVirtual) {
	n, whole := GP64(), NewLabel("whole")
	MOVQ(U32(32), n)
	SUBQ(f("tn"), n)
	JLE(LabelRef(whole))
	Comment("behind the last cell")
	IMULQ(row, n)
	IMULQ(f("tn"), row)
	ADDQ(row, rows)
	clearBytes(rows, n)
	Label(whole)
}

func noLanes() reg.OpmaskVirtual {
	k := K()
	KXORW(k, k, k)
	return k
}

// finite returns the vector at m, with zeros for numbers that are not finite; wild has their lanes
// from then on.
func finite(m Mem, wild reg.OpmaskVirtual) reg.VecVirtual {
	v, k := isas[1].Loaded(m), K()
	VFPCLASSPSZ(Imm(notFinite), v, k)
	VPXORD(v, v, k, v)
	KORW(k, wild, wild)
	return v
}

func keyPieces(pieces int, upper reg.VecVirtual, wild reg.OpmaskVirtual) {
	Comment("keys")
	src, block, blocks := load("kt"), load("ka"), GP64()
	MOVQ(U32(2), blocks)
	next := Mark("block")
	cell, cells := Copied(block), GP64()
	MOVQ(U32(16), cells)
	loop := Mark("cells")
	dst, d := Copied(cell), load("dk")
	dims := Mark("dims")
	a, b := finite(At(src, 0), wild), finite(At(src, 64), wild)
	storePieces(a, b, upper, pieces, At(dst, 0))
	SUBQ(I32(-128), src)
	ADDQ(Int(2*pieces*tileBytes), dst)
	SUBQ(Imm(32), d)
	JNZ(LabelRef(dims))
	ADDQ(Imm(64), cell)
	DECQ(cells)
	JNZ(LabelRef(loop))
	ADDQ(Int(pieces*tileBytes), block)
	DECQ(blocks)
	JNZ(LabelRef(next))
}

func valuePieces(pieces int, upper reg.VecVirtual, wild reg.OpmaskVirtual) {
	Comment("values")
	src, dst, row, left := load("vt"), load("va"), load("dvb"), load("dv")
	far := Copied(row) // from a cell to the other one of its pair
	SHLQ(Imm(4), far)
	values := Mark("values")
	cell, out, n := Copied(src), Copied(dst), GP64()
	MOVQ(U32(16), n)
	cells := Mark("cells")
	a, b := finite(At(cell, 0), wild), finite(Indexed(cell, far, 1, 0), wild)
	storePieces(a, b, upper, pieces, At(out, 0))
	ADDQ(row, cell)
	ADDQ(Imm(64), out)
	DECQ(n)
	JNZ(LabelRef(cells))
	MOVQ(U32(uint32(pieces)), n)
	each := Mark("pieces")
	transposeTile(dst)
	ADDQ(Int(tileBytes), dst)
	DECQ(n)
	JNZ(LabelRef(each))
	ADDQ(Imm(64), src)
	SUBQ(Imm(16), left)
	JNZ(LabelRef(values))
}

// transposeTile transposes 16 × 16 words in their place.
func transposeTile(p reg.Register) {
	var rows, t [16]reg.VecVirtual
	for i := range rows {
		rows[i] = isas[1].Loaded(At(p, 64*i))
	}
	// both sets to[i] and to[j] to what two instructions make of a and b.
	both := func(to *[16]reg.VecVirtual, i, j int, a, b reg.VecVirtual, first, second func(b, a, x Op)) {
		x, y := ZMM(), ZMM()
		first(b, a, x)
		second(b, a, y)
		to[i], to[j] = x, y
	}
	words := [2]func(b, a, x Op){func(b, a, x Op) { VPUNPCKLDQ(b, a, x) }, func(b, a, x Op) { VPUNPCKHDQ(b, a, x) }}
	twos := [2]func(b, a, x Op){func(b, a, x Op) { VPUNPCKLQDQ(b, a, x) }, func(b, a, x Op) { VPUNPCKHQDQ(b, a, x) }}
	fours := [2]func(b, a, x Op){func(b, a, x Op) { VSHUFI32X4(Imm(0x88), b, a, x) }, func(b, a, x Op) { VSHUFI32X4(Imm(0xDD), b, a, x) }}
	for i := 0; i < 16; i += 2 {
		both(&t, i, i+1, rows[i], rows[i+1], words[0], words[1])
	}
	for i := 0; i < 16; i += 4 {
		both(&rows, i, i+1, t[i], t[i+2], twos[0], twos[1])
		both(&rows, i+2, i+3, t[i+1], t[i+3], twos[0], twos[1])
	}
	for i := range 4 {
		both(&t, i, 4+i, rows[i], rows[4+i], fours[0], fours[1])
		both(&t, 8+i, 12+i, rows[8+i], rows[12+i], fours[0], fours[1])
	}
	for i := range 4 {
		both(&rows, i, 8+i, t[i], t[8+i], fours[0], fours[1])
		both(&rows, 4+i, 12+i, t[4+i], t[12+i], fours[0], fours[1])
	}
	for i, r := range rows {
		VMOVUPS(r, At(p, 64*i))
	}
}

// noteWild sets the field to the mask of the tile's cells that have numbers that are not finite. It
// looks for them if any lane is wild.
func noteWild(field, rows, row string, wild reg.OpmaskVirtual) {
	done, bits := NewLabel("finite"), GP64()
	XORL(bits.As32(), bits.As32())
	KORTESTW(wild, wild)
	JEQ(LabelRef(done))
	Comment("cells with numbers that are not finite")
	p, bit := load(rows), GP64()
	MOVQ(U32(1), bit)
	cells := Mark("cells")
	any, n := noLanes(), load(row)
	numbers := Mark("numbers")
	finite(At(p, 0), any)
	ADDQ(Imm(64), p)
	SUBQ(Imm(64), n)
	JNZ(LabelRef(numbers))
	none := NewLabel("none")
	KORTESTW(any, any)
	JEQ(LabelRef(none))
	ORQ(bit, bits)
	Label(none)
	SHLQ(Imm(1), bit)
	BTQ(Imm(32), bit)
	JCC(LabelRef(cells))
	Label(done)
	store(bits, field)
}
