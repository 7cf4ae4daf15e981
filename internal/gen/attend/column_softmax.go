package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// eachRow emits a loop over the rows of a tile's scores, four at a time. p is the address of the first.
func (i isa) eachRow(n reg.GPVirtual, body func(p reg.GPVirtual)) {
	p, left := load("scores"), Copied(n)
	loop := Mark("rows")
	body(p)
	ADDQ(U32(4*columnBytes), p)
	SUBQ(Imm(4), left)
	JG(LabelRef(loop))
}

// columnSoftmax is softmax for a column. It needs no operation across lanes.
func (i isa) columnSoftmax() {
	name := i.columnName("Softmax", 0)
	Text(name, name+" replaces a column's scores by powers of two, and brings maxima and sums up to date.")
	n := load("tn")
	i.columnCap(n)
	i.columnHide()
	Comment("behind the last cell, up to a multiple of 4")
	p, last := load("scores"), Copied(n)
	SHLQ(Imm(6), last)
	ADDQ(last, p)
	inf := i.Loaded(constants.negInf)
	for c := range 3 {
		VMOVUPS(inf, At(p, c*columnBytes))
	}

	Comment("maxima")
	mp, lp := load("mp"), load("lp")
	old := i.Loaded(At(mp, 0))
	most := make([]reg.VecVirtual, 4)
	for j := range most {
		most[j] = i.Vec()
		VMOVAPS(old, most[j])
	}
	i.eachRow(n, func(p reg.GPVirtual) {
		for j, m := range most {
			VMAXPS(At(p, j*columnBytes), m, m)
		}
	})
	VMAXPS(most[1], most[0], most[0])
	VMAXPS(most[3], most[2], most[2])
	m := most[0]
	VMAXPS(most[2], m, m)
	VMOVUPS(m, At(mp, 0))
	VSUBPS(m, old, old)
	i.exp2(old)
	VMOVUPS(old, f("corr"))

	Comment("powers, and the sums of every fourth one")
	sums := make([]reg.VecVirtual, 4)
	for j := range sums {
		sums[j] = i.Zero()
	}
	i.eachRow(n, func(p reg.GPVirtual) {
		for j, s := range sums {
			x := i.Loaded(At(p, j*columnBytes))
			VSUBPS(m, x, x)
			i.exp2(x)
			VMOVUPS(x, At(p, j*columnBytes))
			VADDPS(x, s, s)
		}
	})
	VADDPS(sums[2], sums[0], sums[0])
	VADDPS(sums[3], sums[1], sums[1])
	VADDPS(sums[1], sums[0], sums[0])
	l := i.Loaded(At(lp, 0))
	VFMADD213PS(sums[0], old, l)
	VMOVUPS(l, At(lp, 0))
	Ret()
}

// columnCap is softCap for a column.
func (i isa) columnCap(n reg.GPVirtual) {
	none := NewLabel("noCap")
	c := GP64()
	MOVL(f("cap"), c.As32())
	TESTL(c.As32(), c.As32())
	JZ(LabelRef(none))
	Comment("soft cap")
	bound := i.Broadcast(f("cap"))
	p, left := load("scores"), Copied(n)
	loop := Mark("rows")
	i.capped(At(p, 0), bound)
	ADDQ(Int(columnBytes), p)
	DECQ(left)
	JNZ(LabelRef(loop))
	Label(none)
}

// columnHide sets the scores of cells that a vector does not see to -Inf, if there are any, and makes
// cellMask: for each cell the lanes that see it.
func (i isa) columnHide() {
	none := NewLabel("allSeen")
	CMPQ(f("partial"), Imm(0))
	JEQ(LabelRef(none))
	Comment("cells that some do not see: bit c of a vector's mask is cell c")
	p, out, left := load("scores"), load("cellMask"), load("tn")
	inf, bit, masks := i.Loaded(constants.negInf), i.Loaded(constants.bit), i.Loaded(f("vecMask"))
	loop := Mark("cells")
	k, x := K(), i.Vec()
	VPTESTMD(bit, masks, k)
	KMOVW(k, At(out, 0))
	VBLENDMPS(At(p, 0), inf, k, x)
	VMOVUPS(x, At(p, 0))
	VPADDD(bit, bit, bit)
	ADDQ(Int(columnBytes), p)
	ADDQ(Imm(2), out)
	DECQ(left)
	JNZ(LabelRef(loop))
	Label(none)
}
