package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// A column is 16 vectors, one in each lane of AVX-512. A pass with enough vectors is computed by
// columns, whose scores, softmax and outputs need no operation across lanes:
//
//	queries  [dk][16] f32 a column, in qs
//	scores   [tile][16] f32, in scores; softmax replaces them by weights
//	outputs  [dv][16] f32 a column, in part
//
// What is computed for a vector, and in which order, is what a group computes for it.
const column = 16

// columnBytes is the bytes of a number for each vector of a column.
const columnBytes = 4 * column

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

// eachColumn emits a loop over the pass's columns, of 16 × row bytes each from the field first on: body
// writes another form of one to the field staging, from which it is copied back.
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

// outputsOf returns where the outputs of the part begin whose address is in a field.
func outputsOf(part string) reg.GPVirtual {
	p := load("room")
	SHLQ(Imm(3), p)
	ADDQ(Imm(63), p)
	ANDQ(I32(-64), p)
	ADDQ(f(part), p)
	return p
}

// columnMasks reads the masks of a column: seen is 0 if its vectors see none of the tile's cells, and
// partial is 1 if some vectors do not see all of them.
func columnMasks() {
	Text("opColumn", "opColumn looks at the masks of a column: seen is 0 if its vectors see no cell, partial 1 if some do not see all.")
	some, zero := NewLabel("some"), GP64()
	XORL(zero.As32(), zero.As32())
	store(zero, "partial")
	CMPQ(f("hidden"), Imm(0))
	JNE(LabelRef(some))
	store(load("full"), "seen") // not 0
	Ret()

	Label(some)
	rp, masks := load("rp"), load("rowMask")
	full, any, all := YMM(), YMM(), YMM()
	VPBROADCASTD(f("full"), full)
	for half := range 2 {
		rows, m, taken, same := YMM(), YMM(), YMM(), YMM()
		VMOVDQU(At(rp, 32*half), rows)
		VPCMPEQD(taken, taken, taken)
		VPGATHERDD(taken, Mem{Base: masks, Index: rows, Scale: 1}, m)
		VMOVDQU(m, f("vecMask").Offset(32*half))
		VPCMPEQD(full, m, same)
		if half == 0 {
			VMOVDQA(m, any)
			VMOVDQA(same, all)
			continue
		}
		VPOR(m, any, any)
		VPAND(same, all, all)
	}
	seen, whole := GP64(), GP64()
	XORL(seen.As32(), seen.As32())
	VPTEST(any, any)
	SETNE(seen.As8())
	store(seen, "seen")
	VMOVMSKPS(all, whole.As32())
	XORL(seen.As32(), seen.As32())
	CMPL(whole.As32(), Int(0xFF))
	SETNE(seen.As8())
	store(seen, "partial")
	Ret()
}

// nextColumn moves to the next column: left is not above 0 if there is none.
func nextColumn() {
	Text("opNextColumn", "opNextColumn goes to the next column; left is not above 0 if there is none.")
	SUBQ(Int(column), f("left"))
	for _, s := range [][2]string{{"qp", "dkb"}, {"op", "dvb"}} {
		x := load(s[1])
		SHLQ(Imm(4), x)
		ADDQ(x, f(s[0]))
	}
	for _, s := range []string{"mp", "lp", "rp"} {
		ADDQ(Imm(columnBytes), f(s))
	}
	Ret()
}

// foldColumns is fold for columns. Powers are those of fold, which has 8 lanes on every instruction set.
func foldColumns() {
	y, z := isas[0], isas[1]
	Text("opFoldColumns", "opFoldColumns adds the part of range r, in columns, to acc; that of range 0 replaces it.")
	add, done := NewLabel("add"), NewLabel("done")
	CMPQ(f("r"), Imm(0))
	JNE(LabelRef(add))
	copyPart()
	JMP(LabelRef(done))

	Label(add)
	part, acc, room := load("part"), load("acc"), load("room")
	po, ao, left := outputsOf("part"), outputsOf("acc"), load("nv")
	columns := Mark("columns")
	for lanes := 0; lanes < columnBytes; lanes += 4 * y.Lanes {
		ma, mp, m := y.Loaded(At(acc, lanes)), y.Loaded(At(part, lanes)), YMM()
		VMAXPS(mp, ma, m)
		VMOVUPS(m, At(acc, lanes))
		VSUBPS(m, ma, ma)
		y.exp2(ma)
		VMOVUPS(ma, f("corr").Offset(lanes))
		VSUBPS(m, mp, mp)
		y.exp2(mp)
		VMOVUPS(mp, f("partCorr").Offset(lanes))
		l := y.Loaded(Indexed(part, room, 4, lanes))
		VMULPS(mp, l, l)
		la := y.Loaded(Indexed(acc, room, 4, lanes))
		VFMADD213PS(l, ma, la)
		VMOVUPS(la, Indexed(acc, room, 4, lanes))
	}
	ma, mp, d := z.Loaded(f("corr")), z.Loaded(f("partCorr")), load("dvb")
	values := Mark("values")
	for n := range 4 { // rows of 16
		o, x := z.Vec(), z.Loaded(At(ao, n*columnBytes))
		VMULPS(At(po, n*columnBytes), mp, o)
		VFMADD213PS(o, ma, x)
		VMOVUPS(x, At(ao, n*columnBytes))
	}
	ADDQ(Int(4*columnBytes), po)
	ADDQ(Int(4*columnBytes), ao)
	SUBQ(Imm(16), d)
	JNZ(LabelRef(values))
	ADDQ(Int(columnBytes), part)
	ADDQ(Int(columnBytes), acc)
	SUBQ(Int(column), left)
	JNZ(LabelRef(columns))
	Label(done)
	Ret()
}

// columns emits the functions of columns for an instruction set.
func (i isa) columns() {
	for _, dims := range columnDims {
		i.columnScores(dims)
	}
	i.columnSoftmax()
	i.columnValues(false)
	i.columnValues(true)
}

// columnTables returns a table of the functions of columns for each of columnDims: scores, softmax,
// values, and values for columns that do not see all cells. AVX2 has none.
func (i isa) columnTables() (tables []Mem) {
	if !i.Wide() {
		return nil
	}
	for _, dims := range columnDims {
		texts := []string{"·" + i.columnName("Scores", dims)}
		for _, stage := range []string{"Softmax", "Values", "SeenValues"} {
			texts = append(texts, "·"+i.columnName(stage, 0))
		}
		tables = append(tables, Addresses(fmt.Sprintf("columns%d%s", dims, i.Name), texts))
	}
	return tables
}
