package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// tile multiplies an expanded part of a panel by the tokens left of a tile: four at a time, and the
// panel's rows 16 at a time. Results are in memory while blocks are added to them.
func (s narrow) tile(h shape, name string) {
	Text(name, name+" multiplies scratch and the tokens left of a tile.")
	next := Mark("tokens")
	for n := 4; n >= 1; n-- {
		fewer := NewLabel("fewer")
		CMPQ(f("left"), Int(n))
		JLT(LabelRef(fewer))
		s.tileTokens(h, n)
		SUBQ(Int(n), f("left"))
		ADDQ(Int(32*n), f("q"))
		ADDQ(Int(4*n), f("d"))
		JMP(LabelRef(next))
		Label(fewer)
	}
	Ret()
}

// tileTokens multiplies by the next n tokens, and goes past their results.
func (s narrow) tileTokens(h shape, n int) {
	c, cRow := load("c"), load("cRow")
	results := rowsAt(c, cRow, n)
	n4 := load("n4")
	n12 := GP64()
	LEAQ(Indexed(n4, n4, 2, 0), n12)
	panel := load("scratch")
	rows := GP64()
	MOVQ(U32(2), rows)
	sixteen := Mark("rows")

	// The first part begins with sums of 0, and the others with those of the part before.
	q, d, blocks, begun := load("q"), load("d"), load("kn"), NewLabel("begun")
	CMPQ(f("k"), Imm(0))
	JNE(LabelRef(begun))
	zero := s.Zero()
	for t := range n {
		for r := range 2 {
			VMOVUPS(zero, results(t, 32*r))
		}
	}
	Label(begun)
	block := Mark("blocks")
	prefetch(GP64(), GP64())
	s.multiply(h, operands{
		tokens: n, vectors: 2,
		codes: func(g int) []reg.VecVirtual {
			return []reg.VecVirtual{s.Loaded(At(panel, 128*g)), s.Loaded(At(panel, 128*g+32))}
		},
		slot:   func(slot, r int) Mem { return At(panel, 1024+128*slot+32*r) },
		q:      func(t, g int) Mem { return At(q, 32*t+4*g) },
		d:      func(t int) Mem { return At(d, 4*t) },
		all:    func(t int) Mem { return Indexed(d, n4, 1, 4*t) },
		lo:     func(t int) Mem { return Indexed(d, n4, 2, 4*t) },
		sum:    func(t int) Mem { return Indexed(d, n12, 1, 4*t) },
		spill:  s.spill,
		result: func(t, r int) Mem { return results(t, 32*r) },
	})
	ADDQ(Int(h.kind.stride()), panel)
	LEAQ(Indexed(q, n12, 4, 0), q) // 48 bytes a token
	LEAQ(Indexed(d, n12, 4, 0), d)
	DECQ(blocks)
	JNZ(LabelRef(block))
	MOVQ(f("scratch"), panel)
	ADDQ(Imm(64), panel)
	ADDQ(Imm(64), c)
	DECQ(rows)
	JNZ(LabelRef(sixteen))
	SUBQ(Int(128), c)

	s.addResidual(n, results)
	IMUL3Q(Int(n), cRow, cRow)
	ADDQ(cRow, c)
	MOVQ(c, f("c"))
}

// addResidual adds what is to be added to the results of n tokens, and goes past it.
func (s narrow) addResidual(n int, result func(token, disp int) Mem) {
	none := NewLabel("none")
	res := load("res")
	TESTQ(res, res)
	JZ(LabelRef(none))
	for t := range n {
		for r := range s.vectors() {
			v := s.Loaded(At(res, 32*r))
			VADDPS(result(t, 32*r), v, v)
			VMOVUPS(v, result(t, 32*r))
		}
		ADDQ(f("resRow"), res)
	}
	MOVQ(res, f("res"))
	Label(none)
}
