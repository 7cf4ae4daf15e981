package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// quantiser writes blocks of activations.
type quantiser struct {
	set
	magnitude reg.VecVirtual
	ones      reg.VecVirtual // bytes
}

func (s set) newQuantiser() quantiser {
	x := quantiser{s, s.Loaded(con("magnitude")), XMM()}
	VMOVDQU(con("bytes1"), x.ones)
	return x
}

// written is where a token's part of a block is.
type written struct {
	q, d    reg.GPVirtual // its values, and its scale
	n4, n12 reg.GPVirtual // 4 and 12 times the tile's tokens
}

// newWritten returns where token t's part of block b is, among the activations that the operation
// writes.
func newWritten(t, b Op) written {
	w := written{GP64(), GP64(), GP64(), GP64()}
	tile, in, n, x := GP64(), GP64(), GP64(), GP64()
	MOVQ(t, tile)
	MOVQ(tile, in)
	ANDQ(Imm(15), in)
	SUBQ(in, tile) // its first token
	MOVQ(f("tokens"), n)
	SUBQ(tile, n)
	MOVQ(U32(tileTokens), x)
	CMPQ(n, x)
	CMOVQGT(x, n)
	IMULQ(f("outNb"), tile)
	IMUL3Q(Int(tokenBlock), tile, tile)
	ADDQ(f("out"), tile)
	IMUL3Q(Int(tokenBlock), n, x)
	IMULQ(b, x)
	ADDQ(x, tile) // the block
	MOVQ(in, x)
	SHLQ(Imm(5), x)
	LEAQ(Indexed(tile, x, 1, 0), w.q)
	MOVQ(n, x)
	SHLQ(Imm(5), x)
	ADDQ(x, tile)
	LEAQ(Indexed(tile, in, 4, 0), w.d)
	MOVQ(n, w.n4)
	SHLQ(Imm(2), w.n4)
	LEAQ(Indexed(w.n4, w.n4, 2, 0), w.n12)
	return w
}

// next goes to the same token's part of the next block.
func (w written) next() {
	LEAQ(Indexed(w.q, w.n12, 4, 0), w.q)
	LEAQ(Indexed(w.d, w.n12, 4, 0), w.d)
}

// sums writes three sums of a block's values: of all times the scale d, and negative those of all and
// of the first 16. The two lowest words of sum are the sums of the first 16 and of the others.
func (w written) sums(sum, d reg.VecVirtual) {
	low, all := GP32(), GP32()
	VMOVD(sum.AsX(), low)
	VPEXTRD(Imm(1), sum.AsX(), all)
	ADDL(low, all)
	scaled := XMM()
	VXORPS(scaled, scaled, scaled)
	VCVTSI2SSL(all, scaled, scaled)
	VMULSS(d, scaled, scaled)
	NEGL(all)
	NEGL(low)
	MOVL(all, Indexed(w.d, w.n4, 1, 0))
	MOVL(low, Indexed(w.d, w.n4, 2, 0))
	VMOVSS(scaled, Indexed(w.d, w.n12, 1, 0))
}

// scaleOf returns the scale d of values of which the largest magnitude has these bits, and 0 in its
// stead where it is below 2^-100, or NaN if a value is not finite. The mask is all ones for a scale
// that is neither, and otherwise 0, as values are.
func scaleOf(bits reg.GPVirtual, d Op) (mask, scale reg.GPVirtual) {
	scale, mask = GP32(), GP32()
	nan := GP32()
	Comment("its scale: 0 below 2^-100, and NaN if a value is not finite; both with values of 0")
	const least, infinite = 0x0d800000, 0x7f800000
	VMOVD(d, scale)
	XORL(mask, mask)
	MOVL(U32(0x7fc00000), nan)
	CMPL(bits, U32(least))
	CMOVLCS(mask, scale)
	CMPL(bits, U32(infinite))
	CMOVLCC(nan, scale)
	SUBL(U32(least), bits)
	CMPL(bits, U32(infinite-least))
	SBBL(mask, mask)
	return mask, scale
}

// write quantises 32 values.
func (x quantiser) write(w written, v0, v1 reg.VecVirtual) {
	s := x.set
	Comment("the largest magnitude, as bits")
	most, half := s.and(v0, x.magnitude), s.and(v1, x.magnitude)
	VPMAXUD(half, most, most)
	VEXTRACTI64X4(Imm(1), most, half.AsY())
	VPMAXUD(half.AsY(), most.AsY(), most.AsY())
	m, h := most.AsX(), half.AsX()
	VEXTRACTI128(Imm(1), most.AsY(), h)
	VPMAXUD(h, m, m)
	VPSHUFD(Imm(0x4E), m, h)
	VPMAXUD(h, m, m)
	VPSHUFD(Imm(0xB1), m, h)
	VPMAXUD(h, m, m)
	bits := GP32()
	VMOVD(m, bits)
	d, id := XMM(), ZMM()
	VDIVSS(con("f127"), m, d)
	VMOVSS(con("f127"), id.AsX())
	VDIVSS(m, id.AsX(), id.AsX())
	VBROADCASTSS(id.AsX(), id)

	mask, scale := scaleOf(bits, d)
	k := K()
	KMOVW(mask, k)
	VMOVD(scale, d)
	MOVL(scale, At(w.d, 0))

	Comment("values, and their sums")
	sum := XMM()
	var parts []reg.VecVirtual
	for i, v := range []reg.VecVirtual{v0, v1} {
		r := ZMM()
		VMULPS(id, v, r)
		VCVTPS2DQ_Z(r, k, r)
		b := XMM()
		VPMOVDB(r, b)
		VMOVDQU(b, At(w.q, 16*i))
		part := XMM()
		VPXOR(part, part, part)
		VPDPBUSD(b, x.ones, part)
		parts = append(parts, part)
	}
	VPHADDD(parts[1], parts[0], sum)
	VPHADDD(sum, sum, sum)
	w.sums(sum, d)
}

// quantise writes tokens t to tEnd, blocks b to bEnd, of x, or of its norm.
func (s set) quantise(name string, norm bool) {
	Text(name, name+" quantises tokens t to tEnd, blocks b to bEnd.")
	quantiser := s.newQuantiser()
	norms := s.norm
	if !norm {
		norms = nil
	}
	eachBlock(norms, func(src, weights reg.GPVirtual, factor reg.VecVirtual) []reg.VecVirtual {
		v0, v1 := s.Loaded(At(src, 0)), s.Loaded(At(src, 64))
		if norm {
			VMULPS(factor, v0, v0)
			VMULPS(factor, v1, v1)
			VMULPS(At(weights, 0), v0, v0)
			VMULPS(At(weights, 64), v1, v1)
		}
		return []reg.VecVirtual{v0, v1}
	}, func(w written, values []reg.VecVirtual) { quantiser.write(w, values[0], values[1]) })
}

// eachBlock emits the loops over tokens t to tEnd and blocks b to bEnd of x: what reads a block's
// values, and what writes them. norm returns what a token is multiplied by, beside weights; nil: the
// values are those of x.
func eachBlock(norm func(src reg.GPVirtual) reg.VecVirtual,
	read func(src, weights reg.GPVirtual, factor reg.VecVirtual) []reg.VecVirtual, write func(written, []reg.VecVirtual)) {
	tokens := Mark("tokens")
	src := load("t")
	IMULQ(f("xRow"), src)
	ADDQ(f("x"), src)
	var factor reg.VecVirtual
	weights := GP64()
	if norm != nil {
		factor = norm(src)
		MOVQ(f("norm"), weights)
	}
	left, offset := load("bEnd"), load("b")
	SUBQ(offset, left)
	SHLQ(Imm(7), offset)
	ADDQ(offset, src)
	if norm != nil {
		ADDQ(offset, weights)
	}
	w := newWritten(f("t"), f("b"))
	blocks := Mark("blocks")
	values := read(src, weights, factor)
	if norm != nil {
		ADDQ(Int(128), weights)
	}
	write(w, values)
	w.next()
	ADDQ(Int(128), src)
	DECQ(left)
	JNZ(LabelRef(blocks))
	INCQ(f("t"))
	t := load("t")
	CMPQ(t, f("tEnd"))
	JLT(LabelRef(tokens))
	Ret()
}

// norm returns what the token at src is multiplied by: 1/√(mean of squares + eps).
func (s set) norm(src reg.GPVirtual) reg.VecVirtual {
	Comment("the sum of squares in 16 lanes, which are added j to j+8, 4, 2 and 1")
	x, n, sum := Copied(src), load("outNb"), s.Zero()
	loop := Mark("squares")
	for i := range 2 {
		v := s.Loaded(At(x, 64*i))
		VFMADD231PS(v, v, sum)
	}
	ADDQ(Int(128), x)
	DECQ(n)
	JNZ(LabelRef(loop))
	half := s.Vec()
	VEXTRACTF64X4(Imm(1), sum, half.AsY())
	VADDPS(half.AsY(), sum.AsY(), sum.AsY())
	m, h := sum.AsX(), half.AsX()
	VEXTRACTF128(Imm(1), sum.AsY(), h)
	VADDPS(h, m, m)
	VPSHUFD(Imm(0x4E), m, h)
	VADDPS(h, m, m)
	VPSHUFD(Imm(0xB1), m, h)
	VADDPS(h, m, m)
	return s.filled(oneOverRoot(m))
}

// oneOverRoot returns 1/√(m/values + eps).
func oneOverRoot(m reg.Register) reg.VecVirtual {
	count, values := XMM(), load("outNb")
	SHLQ(Imm(5), values)
	VXORPS(count, count, count)
	VCVTSI2SSQ(values, count, count)
	VDIVSS(count, m, m)
	VADDSS(f("eps"), m, m)
	VSQRTSS(m, m, m)
	VMOVSS(con("f1"), count)
	VDIVSS(m, count, count)
	return count
}

// filled returns a vector of the lowest word of x.
func (s set) filled(x reg.VecVirtual) reg.VecVirtual {
	v := s.Vec()
	VBROADCASTSS(x, v)
	return v
}
