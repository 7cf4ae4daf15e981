package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// eachVec emits a loop over the tile's scores.
func (i isa) eachVec(body func(p reg.GPVirtual)) {
	p, n := load("scores"), load("vecs")
	loop := Mark("vecs")
	body(p)
	ADDQ(Int(4*i.Lanes), p)
	DECQ(n)
	JNZ(LabelRef(loop))
}

// softmax replaces the tile's scores by powers of two of their difference to the largest so far,
// and updates the maxima and sums of a group of that width.
func (i isa) softmax(w int) {
	name := fmt.Sprintf("opSoftmax%d%s", w, i.Name)
	Text(name, name+" replaces the tile's scores by powers of two, and brings maxima and sums up to date.")
	n := load("tn")
	if w > 1 {
		SHLQ(Imm(uint64(w/2)), n)
	}
	ADDQ(Int(15), n)
	SHRQ(Int(4), n)
	if !i.Wide() {
		SHLQ(Int(1), n)
	}
	store(n, "vecs")
	i.softCap()
	i.hide(w)
	i.behind(w)

	Comment("maxima")
	mp := load("mp")
	old, m := i.repeated(At(mp, 0), w), i.Vec()
	VMOVAPS(old, m)
	i.eachVec(func(p reg.GPVirtual) { VMAXPS(At(p, 0), m, m) })
	t := i.Vec()
	fold := func() { VMAXPS(t, m, m) }
	if i.Wide() {
		VSHUFF64X2(Imm(0x4E), m, m, t)
		fold()
		VSHUFF32X4(Imm(0xB1), m, m, t)
		fold()
	} else {
		VPERM2F128(Imm(1), m, m, t)
		fold()
	}
	if w <= 2 {
		VSHUFPS(Imm(0x4E), m, m, t)
		fold()
	}
	if w == 1 {
		VSHUFPS(Imm(0xB1), m, m, t)
		fold()
	}
	first(w, m.AsX(), At(mp, 0))
	VSUBPS(m, old, old)
	i.exp2(old)
	VMOVUPS(old, f("corr"))

	Comment("powers")
	i.eachVec(func(p reg.GPVirtual) {
		x := i.Loaded(At(p, 0))
		VSUBPS(m, x, x)
		i.exp2(x)
		VMOVUPS(x, At(p, 0))
	})

	i.sum(w, old.AsX())
	Ret()
}

// sum multiplies the sums so far by corr and adds the powers: every fourth cell is added to one of
// four sums, and these at the end. The order is the same for every width.
func (i isa) sum(w int, corr reg.Register) {
	Comment("sums")
	acc := i.Zero()
	sums := []reg.VecVirtual{acc} // of four cells
	if 4*w > i.Lanes {
		sums = append(sums, i.Zero())
	}
	p, n := load("scores"), load("vecs")
	loop := Mark("sums")
	lanes := min(4*w, i.Lanes)
	for at16 := 0; at16 < 16; at16 += lanes {
		s := low(sums[at16/lanes%len(sums)], lanes)
		VADDPS(At(p, 4*at16), s, s)
	}
	ADDQ(Imm(64), p)
	SUBQ(Int(16/i.Lanes), n)
	JNZ(LabelRef(loop))

	if len(sums) == 2 {
		VADDPS(sums[1], acc, acc)
	}
	for n := lanes; n > w; n /= 2 { // (c0+c2, c1+c3), and these
		i.fold(acc, n)
	}

	lp, l := load("lp"), XMM()
	switch w {
	case 1:
		VMOVSS(At(lp, 0), l)
	case 2:
		VMOVQ(At(lp, 0), l)
	case 4:
		VMOVUPS(At(lp, 0), l)
	}
	VFMADD213PS(acc.AsX(), corr, l)
	first(w, l, At(lp, 0))
}

// low returns the first lanes of v, as a register.
func low(v reg.VecVirtual, lanes int) reg.Register {
	switch lanes {
	case 16:
		return v
	case 8:
		return v.AsY()
	default:
		return v.AsX()
	}
}

// fold adds the upper half of the first n lanes of v to the lower one.
func (i isa) fold(v reg.VecVirtual, n int) {
	t := i.Vec()
	switch {
	case n == 16:
		VEXTRACTF64X4(Imm(1), v, t.AsY())
	case n == 8 && i.Wide():
		VEXTRACTF32X4(Imm(1), v.AsY(), t.AsX())
	case n == 8:
		VEXTRACTF128(Imm(1), v, t.AsX())
	case n == 4:
		VSHUFPS(Imm(0x4E), v.AsX(), v.AsX(), t.AsX())
	default:
		VSHUFPS(Imm(0xB1), v.AsX(), v.AsX(), t.AsX())
	}
	half := low(v, n/2)
	VADDPS(low(t, n/2), half, half)
}

// first stores the first n lanes.
func first(n int, x reg.Register, m Mem) {
	switch n {
	case 1:
		VMOVSS(x, m)
	case 2:
		VMOVQ(x, m)
	case 4:
		VMOVUPS(x, m)
	}
}

// softCap bounds the scores if there is a cap: q is scaled so that e^(2x) is 2^score, and tanh x =
// 1 - 2/(e^(2x)+1).
func (i isa) softCap() {
	none := NewLabel("noCap")
	c := GP64()
	MOVL(f("cap"), c.As32())
	TESTL(c.As32(), c.As32())
	JZ(LabelRef(none))
	Comment("soft cap")
	bound := i.Broadcast(f("cap"))
	i.eachVec(func(p reg.GPVirtual) {
		i.capped(At(p, 0), bound)
	})
	Label(none)
}

// capped bounds the scores at m.
func (i isa) capped(m Mem, bound reg.VecVirtual) {
	high, one, two := i.Loaded(constants.tanhHigh), i.Loaded(constants.one), i.Loaded(constants.two)
	x, t := i.Loaded(m), i.Vec()
	VMINPS(x, high, x)
	i.exp2(x)
	VADDPS(one, x, x)
	VDIVPS(x, two, x)
	VSUBPS(x, one, t)
	VMULPS(bound, t, t)
	VMOVUPS(t, m)
}

// behind sets the scores after the last cell to -Inf, up to a multiple of 16 scores.
func (i isa) behind(w int) {
	Comment("behind the last cell")
	n, p := load("tn"), load("scores")
	if w > 1 {
		SHLQ(Imm(uint64(w/2)), n)
	}
	inf := i.Loaded(constants.negInf)
	for at16 := 0; at16 < 16; at16 += i.Lanes {
		VMOVUPS(inf, Indexed(p, n, 4, 4*at16))
	}
}

// hide sets the scores of cells that a vector does not see to -Inf, if there are any.
func (i isa) hide(w int) {
	none := NewLabel("allSeen")
	CMPQ(f("partial"), Imm(0))
	JEQ(LabelRef(none))
	Comment("cells that some do not see: the mask's bit of each is shifted to the sign")
	mask := i.repeated(f("mask"), w)
	shift, step, inf := i.Loaded(constants.shift[w]), i.Loaded(constants.step[i.Lanes/w]), i.Loaded(constants.negInf)
	i.eachVec(func(p reg.GPVirtual) {
		a := i.Vec()
		VPSLLVD(shift, mask, a)
		if i.Wide() {
			k := K()
			VPMOVD2M(a, k)
			VBLENDMPS(At(p, 0), inf, k, a)
		} else {
			VBLENDVPS(a, At(p, 0), inf, a)
		}
		VMOVUPS(a, At(p, 0))
		VPSUBD(step, shift, shift)
	})
	Label(none)
}
