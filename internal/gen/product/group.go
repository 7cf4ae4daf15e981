package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// group computes the product of a panel's expanded part and n tokens of a tile: the first part begins
// with sums of 0, and the others with what the part before has left in c.
func (s set) group(k kind, name string, n int) {
	Text(name, fmt.Sprintf("%s multiplies scratch and %d tokens of a tile.", name, n))
	panel, left, q, d, n4 := load("scratch"), load("kn"), load("q"), load("d"), load("n4")
	step, n12 := GP64(), GP64()
	LEAQ(Indexed(n4, n4, 2, 0), n12)
	MOVQ(n12, step)
	SHLQ(Imm(2), step)
	x := s.newSums(n)
	more, begin := NewLabel("more"), NewLabel("begin")
	CMPQ(f("k"), Imm(0))
	JNE(LabelRef(more))
	for _, row := range x.float {
		for _, v := range row {
			VXORPS(v, v, v)
		}
	}
	JMP(LabelRef(begin))
	Label(more)
	c, row := load("c"), load("cRow")
	for t := range n {
		for r := range s.vectors() {
			VMOVUPS(At(c, s.bytes()*r), x.float[r][t])
		}
		if t < n-1 {
			ADDQ(row, c)
		}
	}
	Label(begin)
	var shift shifter
	if k.minimums() == 0 {
		count, table := s.Vec(), load("record")
		VPBROADCASTD(At(table, record.Offset("shift")), count)
		shift = shifter{any: true, left: func(v reg.VecVirtual) { VPSLLVD(count, v, v) }}
	}
	var tokens []token
	for t := range n {
		tokens = append(tokens, token{
			q:     func(g int) Mem { return At(q, 32*t+4*g) },
			scale: At(d, 4*t), all: Indexed(d, n4, 1, 4*t), low: Indexed(d, n4, 2, 4*t), scaled: Indexed(d, n12, 1, 4*t),
		})
	}
	loop := Mark("blocks")
	prefetch(GP64(), GP64())
	s.dot(k, shift, tokens, x,
		func(g, r int) reg.VecVirtual { return s.Loaded(At(panel, 128*g+s.bytes()*r)) },
		func(slot, r int) Op { return At(panel, 1024+128*slot+s.bytes()*r) })
	ADDQ(Int(k.stride()), panel)
	ADDQ(step, q)
	ADDQ(step, d)
	DECQ(left)
	JNZ(LabelRef(loop))
	s.store(x, n)
	Ret()
}
