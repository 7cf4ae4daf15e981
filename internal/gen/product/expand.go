package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// expand writes units at src to scratch: for each block codes [8][2][64], scales and minimums. signed
// codes are without their offset.
func (s set) expand(r reader, name string, signed bool) {
	Text(name, name+" expands units of "+r.name+".")
	unit, dst, left := load("src"), load("scratch"), load("units")
	p := r.open(s, unit)
	stride := r.kind.stride()
	loop := Mark("units")
	r.scales(s, unit, func(block, slot, vector int, v reg.VecVirtual) {
		VMOVUPS(v, At(dst, stride*block+1024+128*slot+s.bytes()*vector))
	})
	r.first(p)
	eachStep(r, func() {
		for b := range r.step {
			prefetch(GP64(), GP64())
			for g := range 8 {
				for vector := range s.vectors() {
					v := r.code(p, b, g, vector)
					if signed && r.shift > 0 {
						VPSUBB(con("bytes"+itoa(1<<r.shift)), v, v)
					}
					VMOVUPS(v, At(dst, stride*b+128*g+s.bytes()*vector))
				}
			}
		}
		ADDQ(Int(stride*r.step), dst)
	}, p)
	ADDQ(Int(r.bytes), unit)
	DECQ(left)
	JNZ(LabelRef(loop))
	Ret()
}

// eachStep emits what computes a step in a loop over the steps of a unit.
func eachStep(r reader, step func(), p place) {
	if r.next == nil {
		step()
		return
	}
	n := GP64()
	MOVQ(U32(uint32(r.blocks/r.step)), n)
	loop := Mark("steps")
	step()
	r.next(p)
	DECQ(n)
	JNZ(LabelRef(loop))
}
