package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// transposed returns the registers whose j-th has the j-th lane of each of the 8 rows.
func transposed(rows []reg.VecVirtual) []reg.VecVirtual {
	both := func(emit func(a, b, x reg.VecVirtual), a, b reg.VecVirtual) reg.VecVirtual {
		x := YMM()
		emit(a, b, x)
		return x
	}
	lows := func(a, b, x reg.VecVirtual) { VUNPCKLPS(b, a, x) }
	highs := func(a, b, x reg.VecVirtual) { VUNPCKHPS(b, a, x) }
	lowPairs := func(a, b, x reg.VecVirtual) { VSHUFPS(Imm(0x44), b, a, x) }
	highPairs := func(a, b, x reg.VecVirtual) { VSHUFPS(Imm(0xEE), b, a, x) }
	lowHalves := func(a, b, x reg.VecVirtual) { VPERM2F128(Imm(0x20), b, a, x) }
	highHalves := func(a, b, x reg.VecVirtual) { VPERM2F128(Imm(0x31), b, a, x) }

	var quads []reg.VecVirtual // lanes j and 4+j of the first four rows, then of the others
	for r := 0; r < 8; r += 4 {
		l0, h0 := both(lows, rows[r], rows[r+1]), both(highs, rows[r], rows[r+1])
		l1, h1 := both(lows, rows[r+2], rows[r+3]), both(highs, rows[r+2], rows[r+3])
		quads = append(quads, both(lowPairs, l0, l1), both(highPairs, l0, l1), both(lowPairs, h0, h1), both(highPairs, h0, h1))
	}
	var out []reg.VecVirtual
	for j := range 4 {
		out = append(out, both(lowHalves, quads[j], quads[4+j]))
	}
	for j := range 4 {
		out = append(out, both(highHalves, quads[j], quads[4+j]))
	}
	return out
}

// stepsOf returns a row's bytes times 3, 5 and 7, for nth.
func stepsOf(row reg.GPVirtual) (row3, row5, row7 reg.GPVirtual) {
	row3, row5, row7 = GP64(), GP64(), GP64()
	LEAQ(Indexed(row, row, 2, 0), row3)
	LEAQ(Indexed(row, row, 4, 0), row5)
	LEAQ(Indexed(row, row3, 2, 0), row7)
	return row3, row5, row7
}

// columnQueries makes the pass's queries columns. Vectors that are not there have zeros.
func columnQueries() {
	Text("opColumnQueries", "opColumnQueries makes the pass's queries columns.")
	Comment("the vectors that fill up the last column")
	p, n, row := load("nq"), load("nv"), load("dkb")
	SUBQ(p, n)
	IMULQ(row, n)
	IMULQ(row, p)
	ADDQ(f("qs"), p)
	clearBytes(p, n)

	eachColumn("qs", row, func(block reg.GPVirtual) {
		row3, row5, row7 := stepsOf(row)
		dst := load("kx")
		for half := range 2 {
			src, d, out := Copied(block), Copied(row), Copied(dst)
			if half == 1 {
				LEAQ(Indexed(block, row, 8, 0), src)
			}
			dims := Mark("dims")
			var rows []reg.VecVirtual
			for v := range 8 {
				rows = append(rows, isas[0].Loaded(nth(src, row, row3, row5, row7, v)))
			}
			for j, x := range transposed(rows) {
				VMOVUPS(x, At(out, columnBytes*j+32*half))
			}
			ADDQ(Imm(32), src)
			ADDQ(U32(8*columnBytes), out)
			SUBQ(Imm(32), d)
			JNZ(LabelRef(dims))
		}
	}, "kx")
	Ret()
}

// columnOutputs makes the outputs in acc, which are columns, vectors again.
func columnOutputs() {
	Text("opColumnOutputs", "opColumnOutputs makes the outputs in acc, which are columns, vectors again.")
	row := load("dvb")
	outputs := outputsOf("acc")
	store(outputs, "op")
	eachColumn("op", row, func(block reg.GPVirtual) {
		row3, row5, row7 := stepsOf(row)
		for half := range 2 {
			src, d, out := Copied(block), Copied(row), load("vx")
			if half == 1 {
				LEAQ(Indexed(out, row, 8, 0), out)
			}
			dims := Mark("dims")
			var rows []reg.VecVirtual
			for j := range 8 {
				rows = append(rows, isas[0].Loaded(At(src, columnBytes*j+32*half)))
			}
			for v, x := range transposed(rows) {
				VMOVUPS(x, nth(out, row, row3, row5, row7, v))
			}
			ADDQ(U32(8*columnBytes), src)
			ADDQ(Imm(32), out)
			SUBQ(Imm(32), d)
			JNZ(LabelRef(dims))
		}
	}, "vx")
	Ret()
}

// eachColumn emits a loop over the pass's columns, of 16 × row bytes each from the field first on:
// body writes another form of one to the field staging, from which it is copied back.
func eachColumn(first string, row reg.GPVirtual, body func(block reg.GPVirtual), staging string) {
	block, left := load(first), load("nv")
	columns := Mark("columns")
	body(block)
	n, from := Copied(row), load(staging)
	SHLQ(Imm(4), n)
	back := Mark("back")
	for i := range 2 {
		x := isas[0].Loaded(At(from, 32*i))
		VMOVUPS(x, At(block, 32*i))
	}
	ADDQ(Imm(64), from)
	ADDQ(Imm(64), block)
	SUBQ(Imm(64), n)
	JNZ(LabelRef(back))
	SUBQ(Int(column), left)
	JNZ(LabelRef(columns))
}

// clearBytes sets n bytes from p on to zero, a multiple of 64 or none.
func clearBytes(p, n reg.GPVirtual) {
	zero, done := YMM(), NewLabel("cleared")
	VXORPS(zero, zero, zero)
	TESTQ(n, n)
	JZ(LabelRef(done))
	clear := Mark("clear")
	VMOVUPS(zero, At(p, 0))
	VMOVUPS(zero, At(p, 32))
	ADDQ(Imm(64), p)
	SUBQ(Imm(64), n)
	JNZ(LabelRef(clear))
	Label(done)
}
