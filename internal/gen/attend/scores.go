package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// width is how many scores of a cell are stored together: g, or 4 if g is 3.
func width(g int) int {
	if g == 3 {
		return 4
	}
	return g
}

// cells returns how many keys are multiplied with g queries at a time: as many as there are
// registers for, and a divisor of a tile.
func (i isa) cells(g int) int {
	switch {
	case g == 3:
		return 4
	case i.Wide():
		return 16 / g
	default:
		return 8 / g
	}
}

// scores computes the products of the tile's keys with g queries, as [cells][width(g)]: some cells
// at a time, each with every query.
//
// Each product is summed in the same order whatever g is.
func (k kind) scores(i isa, g int) {
	w, cells := width(g), i.cells(g)
	name := fmt.Sprintf("opScores%d%s%s", g, k.name, i.Name)
	Text(name, fmt.Sprintf("%s multiplies %d keys at a time with %d queries.", name, cells, g))
	kp, sp, left, next := load("kt"), load("scores"), load("tn"), load("kNext")
	row := load(k.rowField("k"))
	row3, row5, row7 := GP64(), GP64(), GP64()
	LEAQ(Indexed(row, row, 2, 0), row3)
	if cells >= 8 {
		LEAQ(Indexed(row, row, 4, 0), row5)
		LEAQ(Indexed(row, row3, 2, 0), row7)
	}
	qRow, qRow3 := row, row3
	if k.name != "F32" && g > 1 {
		qRow, qRow3 = load("dkb"), GP64()
		LEAQ(Indexed(qRow, qRow, 2, 0), qRow3)
	}
	ahead := load("k16")
	IMUL3Q(Int(cells*k.step/16), ahead, ahead)

	loop := Mark("cells")
	key, q, n := Copied(kp), load("qp"), load("dk")
	var key8 reg.GPVirtual
	if cells == 16 {
		key8 = GP64()
		LEAQ(Indexed(kp, row, 8, 0), key8)
	}
	cell := func(c int) Mem {
		if c >= 8 {
			return nth(key8, row, row3, row5, row7, c-8)
		}
		return nth(key, row, row3, row5, row7, c)
	}
	query := func(h, d int) Mem { return nth(q, qRow, qRow3, nil, nil, h).Offset(4 * d) }

	sums := make([]reg.VecVirtual, cells*w)
	for c := range cells {
		for h := range w {
			if h < g {
				sums[c*w+h] = i.Zero()
			} else {
				sums[c*w+h] = sums[c*w+h-1]
			}
		}
	}
	dims := Mark("dims")
	for l := range (cells*k.bytes + 63) / 64 {
		PREFETCHT1(At(next, 64*l))
	}
	// Queries stay in registers where there are enough.
	queries := map[int]Op{}
	for d := 0; d < k.step; d += i.Lanes {
		for h := range g {
			if k.quantized() && !i.Wide() {
				queries[d+h] = query(h, d)
			} else {
				queries[d+h] = i.Loaded(query(h, d))
			}
		}
	}
	for c := range cells {
		m := cell(c)
		shared := k.open(i, m)
		for d := 0; d < k.step; d += i.Lanes {
			if k.name == "F32" && g == 1 {
				VFMADD231PS(m.Offset(4*d), queries[d], sums[c*w])
				continue
			}
			x := k.read(i, shared, m, d)
			for h := range g {
				VFMADD231PS(queries[d+h], x, sums[c*w+h])
			}
		}
	}
	ADDQ(ahead, next)
	ADDQ(Int(k.bytes), key)
	if cells == 16 {
		ADDQ(Int(k.bytes), key8)
	}
	ADDQ(Int(4*k.step), q)
	SUBQ(Int(k.step), n)
	JNZ(LabelRef(dims))
	for s := 0; s < cells*w; s += i.Lanes {
		VMOVUPS(i.totals(sums[s:s+i.Lanes]), At(sp, 4*s))
	}
	if cells == 16 {
		LEAQ(Indexed(kp, row, 8, 0), kp)
	}
	LEAQ(Indexed(kp, row, uint8(min(cells, 8)), 0), kp)
	ADDQ(Int(cells*w*4), sp)
	SUBQ(Int(cells), left)
	JG(LabelRef(loop))
	Ret()
}

// rowField is the bytes from one cell's keys or values to the next.
func (k kind) rowField(s string) string {
	if k.name == "F32" {
		return "d" + s + "b"
	}
	return s + "Cell"
}

// nth is the address that is n rows behind base.
func nth(base, row, row3, row5, row7 reg.Register, n int) Mem {
	switch n {
	case 0:
		return At(base, 0)
	case 3:
		return Indexed(base, row3, 1, 0)
	case 5:
		return Indexed(base, row5, 1, 0)
	case 6:
		return Indexed(base, row3, 2, 0)
	case 7:
		return Indexed(base, row7, 1, 0)
	default:
		return Indexed(base, row, uint8(n), 0)
	}
}

// totals returns the vector of the sums of each vector's lanes.
func (i isa) totals(v []reg.VecVirtual) reg.VecVirtual {
	// both adds two vectors that are made of a and b: each halves what a total is spread over. The
	// fourth vectors of three are the third ones again, and added once.
	type pair struct{ a, b reg.VecVirtual }
	added := map[pair]reg.VecVirtual{}
	both := func(a, b reg.VecVirtual, choose func(a, b, x, y reg.VecVirtual)) reg.VecVirtual {
		if sum, ok := added[pair{a, b}]; ok {
			return sum
		}
		x, y := i.Vec(), i.Vec()
		choose(a, b, x, y)
		VADDPS(x, y, y)
		added[pair{a, b}] = y
		return y
	}
	if !i.Wide() {
		halves := func(a, b, x, y reg.VecVirtual) {
			VPERM2F128(Imm(0x21), b, a, x)
			VBLENDPS(Imm(0xF0), b, a, y)
		}
		quarters := func(a, b, x, y reg.VecVirtual) {
			VSHUFPS(Imm(0x4E), b, a, x)
			VBLENDPS(Imm(0xCC), b, a, y)
		}
		x := both(both(v[0], v[4], halves), both(v[1], v[5], halves), quarters)
		y := both(both(v[2], v[6], halves), both(v[3], v[7], halves), quarters)
		r := YMM()
		VHADDPS(y, x, r)
		return r
	}
	halves := func(a, b, x, y reg.VecVirtual) {
		VSHUFF64X2(Imm(0x44), b, a, x)
		VSHUFF64X2(Imm(0xEE), b, a, y)
	}
	quarters := func(a, b, x, y reg.VecVirtual) {
		VSHUFF32X4(Imm(0x88), b, a, x)
		VSHUFF32X4(Imm(0xDD), b, a, y)
	}
	pairs := func(a, b, x, y reg.VecVirtual) {
		VSHUFPS(Imm(0x88), b, a, x)
		VSHUFPS(Imm(0xDD), b, a, y)
	}
	column := func(j int) reg.VecVirtual { // totals j, 4+j, 8+j, 12+j
		return both(both(v[j], v[4+j], halves), both(v[8+j], v[12+j], halves), quarters)
	}
	return both(both(column(0), column(1), pairs), both(column(2), column(3), pairs), pairs)
}
