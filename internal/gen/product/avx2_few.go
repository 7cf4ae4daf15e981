package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// few computes the product of a panel, which it reads as one stream, and n tokens. A step of a unit is
// multiplied for 8 or 16 rows at a time, in a loop over the rows; results are in memory while blocks
// are added to them.
func (s narrow) few(r reader, name string, n int) {
	Text(name, fmt.Sprintf("%s multiplies a panel of %s and %d tokens.", name, r.name, n))
	unit, left, q, c, cRow := load("src"), load("units"), load("q"), load("c"), load("cRow")
	results := rowsAt(c, cRow, n)
	zero := s.Zero()
	for t := range n {
		for vector := range s.vectors() {
			VMOVUPS(zero, results(t, 32*vector))
		}
	}
	together := 1 // vectors of rows
	spill := s.spill
	if n == 1 {
		together, spill = 2, nil // there are registers
	}
	p := r.open(s.set, unit)
	numbers, rows := GP64(), GP64()
	moving := []reg.GPVirtual{unit, c, numbers}
	if r.next != nil {
		moving = append(moving, p.codes)
	}
	if r.high > 0 {
		moving = append(moving, p.high)
	}

	loop := Mark("units")
	for line := 0; line < r.bytes; line += 64 {
		PREFETCHT0(At(unit, ahead+line))
	}
	r.scales(s.set, unit, func(block, slot, vector int, v reg.VecVirtual) {
		VMOVUPS(v, At(reg.RDI, unitScales+512*block+128*slot+32*vector))
	})
	r.first(p)
	LEAQ(At(reg.RDI, unitScales), numbers)
	eachStep(r, func() {
		MOVQ(U32(uint32(s.vectors()/together)), rows)
		some := Mark("rows")
		for b := range r.step {
			first := tokenBlock * n * b
			word := func(part int) func(t int) Mem {
				return func(t int) Mem { return At(q, first+part*n+4*t) }
			}
			s.multiply(r.shape(), operands{
				tokens: n, vectors: together,
				codes: func(g int) (all []reg.VecVirtual) {
					for vector := range together {
						v := r.code(p, b, g, vector)
						if s.signed(r.shape()) {
							VPXOR(con("bytes128"), v, v)
						}
						all = append(all, v)
					}
					return all
				},
				slot: func(slot, vector int) Mem { return At(numbers, 512*b+128*slot+32*vector) },
				q:    func(t, g int) Mem { return At(q, first+32*t+4*g) },
				d:    word(scaleAt), all: word(allAt), lo: word(lowAt), sum: word(scaledAt),
				spill:  spill,
				result: func(t, vector int) Mem { return results(t, 32*vector) },
			})
		}
		for _, x := range moving {
			ADDQ(Imm(uint64(32*together)), x)
		}
		DECQ(rows)
		JNZ(LabelRef(some))
		for _, x := range moving {
			SUBQ(Int(128), x)
		}
		ADDQ(Int(512*r.step), numbers)
		ADDQ(Int(tokenBlock*n*r.step), q)
	}, p)
	ADDQ(Int(r.bytes), unit)
	DECQ(left)
	JNZ(LabelRef(loop))
	s.addResidual(n, results)
	Ret()
}

// rowsAt returns how the results of up to 4 tokens are addressed.
func rowsAt(c, cRow reg.GPVirtual, n int) func(token, disp int) Mem {
	var cRow3 reg.GPVirtual
	if n > 3 {
		cRow3 = GP64()
		LEAQ(Indexed(cRow, cRow, 2, 0), cRow3)
	}
	return func(token, disp int) Mem {
		switch token {
		case 0:
			return At(c, disp)
		case 3:
			return Indexed(c, cRow3, 1, disp)
		default:
			return Indexed(c, cRow, uint8(token), disp)
		}
	}
}
