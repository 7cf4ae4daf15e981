package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// columnValues adds the tile's values, weighted, to a column's outputs: some numbers of a value at a
// time. With seen, a value is added only in the lanes of the vectors that see its cell, so that no
// other cell can influence a vector.
func (i isa) columnValues(seen bool) {
	stage, doc := "Values", " adds the tile's values to a column's outputs."
	if seen {
		stage, doc = "SeenValues", " adds the tile's values to the outputs of a column's vectors that see them."
	}
	name := i.columnName(stage, 0)
	Text(name, name+doc)
	vp, op, left, row := load("vt"), load("op"), load("dv"), load("dvb")
	const dims = 16 // at a time
	panel := Mark("panel")
	corr := i.Loaded(f("corr"))
	sums := make([]reg.VecVirtual, dims)
	for j := range sums {
		sums[j] = i.Vec()
		VMULPS(At(op, j*columnBytes), corr, sums[j])
	}
	v, p, masks, t := Copied(vp), load("scores"), load("cellMask"), load("tn")
	loop := Mark("cells")
	w, k := i.Loaded(At(p, 0)), K()
	if seen {
		KMOVW(At(masks, 0), k)
		ADDQ(Imm(2), masks)
	}
	for j, s := range sums {
		if seen {
			VFMADD231PS_BCST(At(v, 4*j), w, k, s)
		} else {
			VFMADD231PS_BCST(At(v, 4*j), w, s)
		}
	}
	ADDQ(row, v)
	ADDQ(Int(columnBytes), p)
	DECQ(t)
	JNZ(LabelRef(loop))
	for j, s := range sums {
		VMOVUPS(s, At(op, j*columnBytes))
	}
	ADDQ(Int(4*dims), vp)
	ADDQ(Int(dims*columnBytes), op)
	SUBQ(Int(dims), left)
	JNZ(LabelRef(panel))
	Ret()
}
