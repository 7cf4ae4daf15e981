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

// toOutputs makes the room of a part, in vectors, where its outputs begin: maxima and sums come first.
func toOutputs(room reg.Register) {
	SHLQ(Imm(3), room)
	ADDQ(Imm(63), room)
	ANDQ(I32(-64), room)
}

// outputsOf returns where the outputs of the part begin whose address is in a field.
func outputsOf(part string) reg.GPVirtual {
	p := load("room")
	toOutputs(p)
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

// foldColumns is fold for columns. Powers are those of fold, which has 8 lanes on every instruction
// set.
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
