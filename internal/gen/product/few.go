package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// tokenBlock is the bytes of a token's 32 values among activations, in which the parts of n tokens
// begin at n times these: see layout.go.
const (
	tileTokens = 16
	tokenBlock = 48
	scaleAt    = 32
	allAt      = 36
	lowAt      = 40
	scaledAt   = 44
)

// ahead is how far before their use packed weights are prefetched into the second cache, and near
// how far into the first, in bytes. Measured on an Emerald Rapids core: with both, one token reaches
// 93 to 97 % of the speed of a read loop, with the far one alone 90 to 95, and with the first cache
// alone from 4096 bytes 85 to 93.
const (
	ahead = 4096
	near  = 640
)

// sums are a product's: of whole numbers and of f32, by vector of rows and token.
type sums struct{ whole, float [][]reg.VecVirtual }

func (s set) newSums(n int) (x sums) {
	for range s.vectors() {
		var w, f []reg.VecVirtual
		for range n {
			w, f = append(w, s.Vec()), append(f, s.Vec())
		}
		x.whole, x.float = append(x.whole, w), append(x.float, f)
	}
	return x
}

// token addresses a token's numbers in a block of activations.
type token struct {
	q                       func(g int) Mem
	scale, all, low, scaled Mem
}

// numbers are a block's scales and minimums.
type numbers func(slot, r int) Op

// dot adds a block's products: for each token sum += scales × sums of code × q, in order.
func (s set) dot(k kind, shift shifter, tokens []token, x sums, code func(g, r int) reg.VecVirtual, num numbers) {
	for h := range k.halves() {
		for t, tok := range tokens {
			first := x.whole[0][t]
			switch {
			case !shift.any:
				VPXORD(first, first, first)
			case k.halves() == 1:
				VPBROADCASTD(tok.all, first)
			case h == 0:
				VPBROADCASTD(tok.low, first)
			default:
				low := s.Vec()
				VPBROADCASTD(tok.low, low)
				VPBROADCASTD(tok.all, first)
				VPSUBD(low, first, first)
			}
			if shift.any {
				shift.left(first)
			}
			for r := 1; r < s.vectors(); r++ {
				VMOVDQA32(first, x.whole[r][t])
			}
		}
		groups := 8 / k.halves()
		for g := groups * h; g < groups*(h+1); g++ {
			var q []reg.VecVirtual
			for _, tok := range tokens {
				v := s.Vec()
				VPBROADCASTD(tok.q(g), v)
				q = append(q, v)
			}
			for r := range s.vectors() {
				c := code(g, r)
				for t := range tokens {
					VPDPBUSD(q[t], c, x.whole[r][t])
				}
			}
		}
		for t, tok := range tokens {
			d := s.Broadcast(tok.scale)
			for r := range s.vectors() {
				w := s.times(d, num(h, r))
				VCVTDQ2PS(x.whole[r][t], x.whole[r][t])
				VFMADD231PS(x.whole[r][t], w, x.float[r][t])
			}
		}
	}
	switch k {
	case minimum:
		for t, tok := range tokens {
			scaled := s.Broadcast(tok.scaled)
			for r := range s.vectors() {
				VFMADD231PS(num(1, r), scaled, x.float[r][t])
			}
		}
	case minimum16:
		for t, tok := range tokens {
			low, high, d := s.Vec(), s.Vec(), s.Broadcast(tok.scale)
			VPBROADCASTD(tok.low, low)
			VPBROADCASTD(tok.all, high)
			VPSUBD(high, low, high) // all and low are minus the sums
			VPXORD(x.whole[0][t], x.whole[0][t], x.whole[0][t])
			VPSUBD(low, x.whole[0][t], low)
			for slot, v := range []reg.VecVirtual{low, high} {
				scaled := s.times(d, s.float(v))
				for r := range s.vectors() {
					VFMADD231PS(num(2+slot, r), scaled, x.float[r][t])
				}
			}
		}
	}
}

// shifter shifts by the logarithm of a type's offset.
type shifter struct {
	any  bool
	left func(v reg.VecVirtual)
}

// store writes the sums of each token to c, a row every cRow bytes, with what lies at res added if it
// is not 0.
func (s set) store(x sums, n int) {
	c, row := load("c"), load("cRow")
	res, resRow := load("res"), load("resRow")
	plain := NewLabel("plain")
	TESTQ(res, res)
	JZ(LabelRef(plain))
	for t := range n {
		for r := range s.vectors() {
			VADDPS(At(res, s.bytes()*r), x.float[r][t], x.float[r][t])
		}
		if t < n-1 {
			ADDQ(resRow, res)
		}
	}
	Label(plain)
	for t := range n {
		for r := range s.vectors() {
			VMOVUPS(x.float[r][t], At(c, s.bytes()*r))
		}
		if t < n-1 {
			ADDQ(row, c)
		}
	}
}

// few computes the product of a panel, which it reads as one stream, and n tokens.
func (s set) few(r reader, name string, n int) {
	Text(name, fmt.Sprintf("%s multiplies a panel of %s and %d tokens.", name, r.name, n))
	unit, left, q := load("src"), load("units"), load("q")
	x := s.newSums(n)
	for _, row := range x.float {
		for _, v := range row {
			VXORPS(v, v, v)
		}
	}
	p := r.open(s, unit)
	shift := shifter{any: r.shift > 0, left: func(v reg.VecVirtual) { VPSLLD(Int(r.shift), v, v) }}
	tokens := func(block int) (all []token) {
		first := tokenBlock * n * block
		for t := range n {
			word := func(part int) Mem { return At(q, first+part*n+4*t) }
			all = append(all, token{
				q:     func(g int) Mem { return At(q, first+32*t+4*g) },
				scale: word(scaleAt), all: word(allAt), low: word(lowAt), scaled: word(scaledAt),
			})
		}
		return all
	}
	coming := GP64()
	LEAQ(At(unit, near), coming)
	// fetch prefetches a block's share of a unit, so that requests are spread evenly over the time.
	fetch := func() {
		size := r.bytes / r.blocks
		for line := 0; line < size; line += 64 {
			PREFETCHT1(At(coming, ahead-near+line))
			PREFETCHT0(At(coming, line))
		}
		ADDQ(Int(size), coming)
	}
	loop := Mark("units")
	if r.next == nil {
		fetch()
		var number [4][4]reg.VecVirtual
		r.scales(s, unit, func(_, slot, vector int, v reg.VecVirtual) { number[slot][vector] = v })
		s.dot(r.kind, shift, tokens(0), x, func(g, vector int) reg.VecVirtual { return r.code(p, 0, g, vector) },
			func(slot, vector int) Op { return number[slot][vector] })
		ADDQ(Int(tokenBlock*n), q)
	} else {
		at0 := GP64()
		LEAQ(At(reg.RDI, unitScales), at0)
		r.scales(s, unit, func(block, slot, vector int, v reg.VecVirtual) {
			VMOVUPS(v, At(at0, 512*block+128*slot+s.bytes()*vector))
		})
		r.first(p)
		eachStep(r, func() {
			for b := range r.step {
				fetch()
				s.dot(r.kind, shift, tokens(b), x, func(g, vector int) reg.VecVirtual { return r.code(p, b, g, vector) },
					func(slot, vector int) Op { return At(at0, 512*b+128*slot+s.bytes()*vector) })
			}
			ADDQ(Int(512*r.step), at0)
			ADDQ(Int(tokenBlock*n*r.step), q)
		}, p)
	}
	ADDQ(Int(r.bytes), unit)
	DECQ(left)
	JNZ(LabelRef(loop))
	s.store(x, n)
	Ret()
}
