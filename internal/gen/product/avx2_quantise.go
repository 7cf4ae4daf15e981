package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// write quantises 32 values, in four vectors.
func (s narrow) write(w written, values []reg.VecVirtual) {
	Comment("the largest magnitude, as bits")
	most := s.and(values[0], con("magnitude"))
	for _, v := range values[1:] {
		VPMAXUD(s.and(v, con("magnitude")), most, most)
	}
	m, h := most.AsX(), XMM()
	VEXTRACTI128(Imm(1), most.AsY(), h)
	VPMAXUD(h, m, m)
	VPSHUFD(Imm(0x4E), m, h)
	VPMAXUD(h, m, m)
	VPSHUFD(Imm(0xB1), m, h)
	VPMAXUD(h, m, m)
	bits := GP32()
	VMOVD(m, bits)
	d, id := XMM(), s.Vec()
	VMOVSS(con("f127"), id.AsX())
	VDIVSS(m, id.AsX(), id.AsX())
	VDIVSS(con("f127"), m, d)
	VBROADCASTSS(id.AsX(), id)

	whether, scale := scaleOf(bits, d)
	mask := s.Vec()
	VMOVD(whether, mask.AsX())
	VPBROADCASTD(mask.AsX(), mask)
	VMOVD(scale, d)
	MOVL(scale, At(w.d, 0))

	Comment("values, and their sums")
	var whole []reg.VecVirtual
	for _, v := range values {
		r := s.Vec()
		VMULPS(id, v, r)
		VCVTPS2DQ(r, r)
		VPAND(mask, r, r)
		whole = append(whole, r)
	}
	sum, last, packed, more := s.Vec(), s.Vec(), s.Vec(), s.Vec()
	VPADDD(whole[1], whole[0], sum)
	VPADDD(whole[3], whole[2], last)
	VPACKSSDW(whole[1], whole[0], packed)
	VPACKSSDW(whole[3], whole[2], more)
	VPACKSSWB(more, packed, packed)
	VMOVDQU(con("byLane"), more)
	VPERMD(packed, more, packed)
	VMOVDQU(packed, At(w.q, 0))
	VPHADDD(last, sum, sum)
	VPHADDD(sum, sum, sum)
	VEXTRACTI128(Imm(1), sum, last.AsX())
	VPADDD(last.AsX(), sum.AsX(), sum.AsX())
	w.sums(sum, d)
}

// quantise writes tokens t to tEnd, blocks b to bEnd, of x, or of its norm.
func (s narrow) quantise(name string, norm bool) {
	Text(name, name+" quantises tokens t to tEnd, blocks b to bEnd.")
	norms := s.norm
	if !norm {
		norms = nil
	}
	eachBlock(norms, func(src, weights reg.GPVirtual, factor reg.VecVirtual) (values []reg.VecVirtual) {
		for i := range 4 {
			v := s.Loaded(At(src, 32*i))
			if norm {
				VMULPS(factor, v, v)
				VMULPS(At(weights, 32*i), v, v)
			}
			values = append(values, v)
		}
		return values
	}, s.write)
}

// norm returns what the token at src is multiplied by: 1/√(mean of squares + eps).
func (s narrow) norm(src reg.GPVirtual) reg.VecVirtual {
	Comment("the sum of squares in 16 lanes, which are added j to j+8, 4, 2 and 1")
	x, n := Copied(src), load("outNb")
	lanes := []reg.VecVirtual{s.Zero(), s.Zero()}
	loop := Mark("squares")
	for i := range 4 {
		v := s.Loaded(At(x, 32*i))
		VFMADD231PS(v, v, lanes[i%2])
	}
	ADDQ(Int(128), x)
	DECQ(n)
	JNZ(LabelRef(loop))
	sum, h := lanes[0], XMM()
	VADDPS(lanes[1], sum, sum)
	m := sum.AsX()
	VEXTRACTF128(Imm(1), sum, h)
	VADDPS(h, m, m)
	VPSHUFD(Imm(0x4E), m, h)
	VADDPS(h, m, m)
	VPSHUFD(Imm(0xB1), m, h)
	VADDPS(h, m, m)
	return s.filled(oneOverRoot(m))
}
