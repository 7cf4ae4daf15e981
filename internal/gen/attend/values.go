package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// panel is values of a head that are taken together: width of them, in passes over the cells that
// sum some each.
type panel struct{ width, sums int }

// panels are taken while they fit, the widest first. There are as many sums as there are registers
// for, and at least as many as hide the time that one takes.
func (k kind) panels(i isa, g int) []panel {
	switch {
	case i.Wide() && g == 1:
		return []panel{{128, 128}, {64, 64}, {32, 32}, {16, 16}}
	case i.Wide():
		return []panel{{64, 64}, {32, 32}, {16, 16}}
	case g == 1:
		return []panel{{64, 64}, {32, 32}, {16, 16}}
	case g == 2, g == 3 && !k.quantized():
		return []panel{{32, 32}, {16, 16}}
	case k.quantized():
		return []panel{{32, 16}}
	default:
		return []panel{{16, 16}}
	}
}

// eachPanel emits a loop over the values of a head for each of the widths.
func eachPanel(panels []panel, left reg.GPVirtual, body func(p panel)) {
	for _, p := range panels {
		loop, narrower := NewLabel("panel"), NewLabel("narrower")
		Label(loop)
		CMPQ(left, Int(p.width))
		JLT(LabelRef(narrower))
		body(p)
		SUBQ(Int(p.width), left)
		JMP(LabelRef(loop))
		Label(narrower)
	}
}

// values adds the tile's values, weighted, to the outputs of g vectors.
func (k kind) values(i isa, g int) {
	name := fmt.Sprintf("opValues%d%s%s", g, k.name, i.Name)
	Text(name, fmt.Sprintf("%s adds the tile's values to the outputs of %d vectors.", name, g))
	vp, op, left, next := load("vt"), load("op"), load("dv"), load("vNext")
	out, out3, row, cell := load("dvb"), GP64(), load(k.rowField("v")), load("vCell")
	LEAQ(Indexed(out, out, 2, 0), out3)
	panels := slices.DeleteFunc(k.panels(i, g), func(p panel) bool { return p.width < k.step })
	eachPanel(panels, left, func(p panel) {
		for from := 0; from < p.width; from += p.sums {
			n := p.sums / i.Lanes
			sums := make([]reg.VecVirtual, g*n)
			for h := range g {
				corr := i.Broadcast(f("corr").Offset(4 * h))
				for j := range n {
					sums[h*n+j] = i.Vec()
					VMULPS(nth(op, out, out3, nil, nil, h).Offset(4*(from+i.Lanes*j)), corr, sums[h*n+j])
				}
			}
			v, weights, t, ahead := Copied(vp), load("scores"), load("tn"), Copied(next)
			loop := Mark("cells")
			if from == 0 {
				for l := range (p.width/k.step*k.bytes + 63) / 64 {
					PREFETCHT1(At(ahead, 64*l))
				}
			}
			w := make([]reg.VecVirtual, g)
			for h := range w {
				w[h] = i.Broadcast(At(weights, 4*h))
			}
			var block shared
			for d := from; d < from+p.sums; d += i.Lanes {
				m := At(v, d/k.step*k.bytes)
				if k.name == "F32" && g == 1 {
					VFMADD231PS(m.Offset(4*(d%k.step)), w[0], sums[(d-from)/i.Lanes])
					continue
				}
				if d == from || d%k.step == 0 {
					block = k.open(i, m)
				}
				x := k.read(i, block, m, d%k.step)
				for h := range w {
					VFMADD231PS(w[h], x, sums[h*n+(d-from)/i.Lanes])
				}
			}
			ADDQ(row, v)
			if from == 0 {
				ADDQ(cell, ahead)
			}
			ADDQ(Int(4*width(g)), weights)
			DECQ(t)
			JNZ(LabelRef(loop))
			for h := range g {
				for j := range n {
					VMOVUPS(sums[h*n+j], nth(op, out, out3, nil, nil, h).Offset(4*(from+i.Lanes*j)))
				}
			}
		}
		ADDQ(Int(p.width/k.step*k.bytes), vp)
		ADDQ(Int(4*p.width), op)
		b := load("v16")
		IMUL3Q(Int(p.width/16), b, b)
		ADDQ(b, next)
	})
	Ret()
}

// seenValues is values for type f32 where some vectors do not see all cells: each vector uses only
// the cells that it sees, so that no other cell can influence it. w is the width of their group.
func (i isa) seenValues(w int) {
	name := fmt.Sprintf("opSeenValues%d%s", w, i.Name)
	Text(name, name+" adds the tile's values to the outputs of the vectors that see them.")
	h := GP64()
	XORL(h.As32(), h.As32())
	op := load("op")
	vector, blind := Mark("vector"), NewLabel("blind")
	seen := GP64()
	MOVL(Mem{Base: reg.RDI, Index: h, Scale: 4, Disp: f("mask").Disp}, seen.As32())
	TESTQ(seen, seen)
	JZ(LabelRef(blind))
	p := load("scores")
	LEAQ(Indexed(p, h, 4, 0), p)
	vp, o, left, row := load("vt"), Copied(op), load("dv"), load("dvb")
	eachPanel([]panel{{64, 64}, {16, 16}}, left, func(values panel) {
		n := values.sums / i.Lanes
		sums := make([]reg.VecVirtual, n)
		corr := i.Broadcast(Mem{Base: reg.RDI, Index: h, Scale: 4, Disp: f("corr").Disp})
		for j := range sums {
			sums[j] = i.Vec()
			VMULPS(At(o, 4*i.Lanes*j), corr, sums[j])
		}
		bits := Copied(seen)
		loop := Mark("seen")
		t, v := GP64(), GP64()
		TZCNTQ(bits, t)
		BLSRQ(bits, bits)
		MOVQ(t, v)
		IMULQ(row, v)
		weight := i.Vec()
		if w == 4 {
			SHLQ(Imm(2), t)
			VBROADCASTSS(Indexed(p, t, 4, 0), weight)
		} else {
			VBROADCASTSS(Indexed(p, t, uint8(4*w), 0), weight)
		}
		for j, s := range sums {
			VFMADD231PS(Indexed(vp, v, 1, 4*i.Lanes*j), weight, s)
		}
		TESTQ(bits, bits)
		JNZ(LabelRef(loop))
		for j, s := range sums {
			VMOVUPS(s, At(o, 4*i.Lanes*j))
		}
		ADDQ(Int(4*values.width), vp)
		ADDQ(Int(4*values.width), o)
	})
	Label(blind)
	ADDQ(f("dvb"), op)
	INCQ(h)
	CMPQ(h, f("size"))
	JLT(LabelRef(vector))
	Ret()
}
