package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// unitReaders are of types whose units are 8 blocks of 32 values. Some bits of a block's values are at
// the same place in every step, and others move: a step's code is the same instructions for all steps.
var unitReaders = []reader{
	{
		name: "Q4_K", number: 12, kind: minimum, bytes: 144 * 32, blocks: 8, step: 2, masks: []string{"bytes15"},
		scales: scalesAndMinimums(4096), code: nibbleOf(1),
		next: func(p place) { ADDQ(Int(1024), p.codes) },
	},
	{
		name: "Q5_K", number: 13, kind: minimum, bytes: 176 * 32, blocks: 8, step: 2, bits: 2, masks: []string{"bytes15", "bytes16"},
		scales: scalesAndMinimums(5120),
		code: func(p place, block, g, r int) reg.VecVirtual {
			v := nibbleOf(1)(p, block, g, r)
			p.where(v, p.pair(p.unit, 32+g, r), p.bit[block], p.masks["bytes16"])
			return v
		},
		next: func(p place) { ADDQ(Int(1024), p.codes); p.nextBits(2) },
	},
	{
		name: "Q6_K", number: 14, kind: symmetric16, shift: 5, bytes: 210 * 32, blocks: 8, step: 4, high: 4096, masks: []string{"bytes15", "bytes48"},
		scales: func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
			for r := range s.vectors() {
				d := s.half(At(unit, 6656), r)
				for w := range 4 {
					word := s.Loaded(At(unit, 6144+128*w+s.bytes()*r))
					for j := range 4 {
						put(2*w+j/2, j%2, r, s.times(d, s.float(s.signedByteOf(word, j))))
					}
				}
			}
		},
		code: func(p place, block, g, r int) reg.VecVirtual {
			v := nibbleOf(2)(p, block, g, r)
			p.orAnd(v, p.shifted16(p.pair(p.high, g, r), 2*block-4), p.masks["bytes48"])
			return v
		},
		next: func(p place) { ADDQ(Int(2048), p.codes); ADDQ(Int(1024), p.high) },
	},
	{
		name: "Q2_K", number: 10, kind: minimum16, bytes: 84 * 32, blocks: 8, step: 4, masks: []string{"bytes3"},
		scales: func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
			for r := range s.vectors() {
				d, least := s.half(At(unit, 2560), r), s.negative(s.half(At(unit, 2624), r))
				for w := range 4 {
					word := s.Loaded(At(unit, 2048+128*w+s.bytes()*r))
					scale := s.and(word, con("bytes15"))
					VPSRLD(Int(4), word, word)
					low := s.and(word, con("bytes15"))
					for j := range 4 {
						put(2*w+j/2, j%2, r, s.times(d, s.float(s.byteOf(scale, j))))
						put(2*w+j/2, 2+j%2, r, s.times(least, s.float(s.byteOf(low, j))))
					}
				}
			}
		},
		code: twoBits,
		next: func(p place) { ADDQ(Int(1024), p.codes) },
	},
	{
		name: "Q3_K", number: 11, kind: symmetric16, shift: 2, bytes: 110 * 32, blocks: 8, step: 4, bits: 4, masks: []string{"bytes3", "bytes4"},
		scales: func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
			for r := range s.vectors() {
				d := s.half(At(unit, 3456), r)
				word := func(w int) reg.VecVirtual { return s.Loaded(At(unit, 3072+128*w+s.bytes()*r)) }
				for w := range 4 { // low 4 bits of scales 4w to 4w+3, and their high 2 bits
					low := word(w % 2)
					if w >= 2 {
						VPSRLD(Int(4), low, low)
					}
					low = s.and(low, con("bytes15"))
					high := word(2)
					if w < 2 {
						VPSLLD(Int(4-2*w), high, high)
					} else if w == 3 {
						VPSRLD(Int(2), high, high)
					}
					s.orAnd(low, high, con("bytes48"))
					for j := range 4 {
						v := s.byteOf(low, j)
						VPSUBD(con("words32"), v, v)
						put(2*w+j/2, j%2, r, s.times(d, s.float(v)))
					}
				}
			}
		},
		code: func(p place, block, g, r int) reg.VecVirtual {
			v := twoBits(p, block, g, r)
			p.where(v, p.pair(p.unit, 16+g, r), p.bit[block], p.masks["bytes4"])
			return v
		},
		next: func(p place) { ADDQ(Int(1024), p.codes); p.nextBits(4) },
	},
	{
		name: "IQ4_XS", number: 23, kind: symmetric, shift: 7, bytes: 136 * 32, blocks: 8, step: 1, masks: []string{"bytes15", "iq4nl"},
		scales: func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
			for r := range s.vectors() {
				d, high := s.half(At(unit, 4288), r), s.Vec()
				VPMOVZXWD(At(unit, 4224+2*s.Lanes*r), high)
				low := s.Loaded(At(unit, 4096+s.bytes()*r))
				for b := range 8 {
					v, h := s.Vec(), s.Vec()
					VPSRLD(Int(4*b), low, v)
					v = s.and(v, con("words15"))
					switch {
					case b < 2:
						VPSLLD(Int(4-2*b), high, h)
					default:
						VPSRLD(Int(2*b-4), high, h)
					}
					s.orAnd(v, h, con("words48"))
					VPSUBD(con("words32"), v, v)
					put(b, 0, r, s.times(d, s.float(v)))
				}
			}
		},
		code: looked("iq4nl"),
		next: func(p place) { ADDQ(Int(512), p.codes) },
	},
}

// scalesAndMinimums reads 6 bits each of 8 scales and minimums, then d and dmin: Q4_K and Q5_K.
func scalesAndMinimums(offset int) func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
	return func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
		for r := range s.vectors() {
			d, least := s.half(At(unit, offset+384), r), s.negative(s.half(At(unit, offset+448), r))
			word := func(w int) reg.VecVirtual { return s.Loaded(At(unit, offset+128*w+s.bytes()*r)) }
			for slot, factor := range []reg.VecVirtual{d, least} {
				first := s.and(word(slot), con("bytes63"))
				// The low 4 bits of the last four are in the third word, and their high 2 bits above the first
				// four's 6.
				last, high := word(2), word(slot)
				if slot == 1 {
					VPSRLD(Int(4), last, last)
				}
				last = s.and(last, con("bytes15"))
				VPSRLD(Int(2), high, high)
				s.orAnd(last, high, con("bytes48"))
				for b := range 8 {
					put(b, slot, r, s.times(factor, s.float(s.byteOf([]reg.VecVirtual{first, last}[b/4], b%4))))
				}
			}
		}
	}
}

// negative returns -x.
func (s set) negative(x reg.VecVirtual) reg.VecVirtual {
	v := s.Vec()
	VXORPS(con("sign"), x, v)
	return v
}

// nibbleOf reads blocks of which n have the low nibbles of 8 pairs each, and n more the high ones.
func nibbleOf(n int) func(p place, block, g, r int) reg.VecVirtual {
	return func(p place, block, g, r int) reg.VecVirtual {
		return p.nibbleAt(p.pair(p.codes, block%n*8+g, r), block >= n)
	}
}

// twoBits reads 4 blocks, of which each has two bits of the bytes of 8 pairs.
func twoBits(p place, block, g, r int) reg.VecVirtual {
	return p.and(p.masks["bytes3"], p.shifted16(p.pair(p.codes, g, r), 2*block))
}

// nextBits goes to the bits of the next n blocks.
func (p place) nextBits(n int) {
	for _, v := range p.bit {
		VPSLLW(Int(n), v, v)
	}
}
