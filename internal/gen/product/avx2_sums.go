package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// What AVX2 multiplies bytes with, VPMADDUBSW, adds two products up in 16 bits, which hold at most
// 32767. A value of an activation is at most 127, so the two products of codes up to 127 fit; and
// where codes are smaller, so do the sums of several groups of four values, which saves most of the
// widening to 32 bits:
//
//	codes up to 16: 8 groups, 8 × 2 × 16 × 127 = 32512
//	         to 32: 4 groups, 4 × 2 × 32 × 127 = 32512
//	         to 64: 2 groups, 2 × 2 × 64 × 127 = 32512
//
// Codes of 8 bits do not fit. They are made signed, and their magnitudes, up to 128, are multiplied by
// activations that get the codes' signs: 2 × 128 × 127 = 32512.
//
// AVX-VNNI's VPDPBUSD adds up in 32 bits, whatever the codes are.

// groups is how many groups of four products add up in 16 bits; 0: the codes have 8 bits.
func (r reader) groups() int {
	switch r.name {
	case "Q8_0", "IQ4_NL", "IQ4_XS":
		return 0
	case "Q6_K":
		return 2
	case "Q5_0", "Q5_1", "Q5_K", "MXFP4":
		return 4
	default:
		return 8
	}
}

// shape is what the functions for expanded panels depend on.
type shape struct {
	kind   kind
	groups int
	shift  int
}

func (r reader) shape() shape { return shape{r.kind, r.groups(), r.shift} }

// shapes returns those of all readers.
func shapes() (all []shape) {
	seen := map[shape]bool{}
	for n := range types {
		if r, ok := readerOf(n); ok && !seen[r.shape()] {
			seen[r.shape()] = true
			all = append(all, r.shape())
		}
	}
	return all
}

// signed reports whether the codes of expanded panels are signed.
func (s narrow) signed(h shape) bool { return !s.vnni && h.groups == 0 }

// spill is where sums of 32 bits lie for which there are no registers, behind the numbers of a unit.
func (s narrow) spill(token, vector int) Mem {
	return At(reg.RDI, unitScales+4096+64*token+32*vector)
}

// narrowSums are the whole sums of products of 32 values, or 16, for some tokens and vectors of rows.
type narrowSums struct {
	narrow
	shape
	tokens, vectors int
	bias            func(token int) reg.VecVirtual // the token's negated sum of values
	spill           func(token, vector int) Mem    // where sums of 32 bits lie until the last ones; nil: in registers
	in32, in16      map[[2]int]reg.VecVirtual      // by token and vector
	added           int                            // groups in in16
	spilled         bool
}

// hasBias reports whether the codes' offset must be taken away. It is gone from codes that are signed.
func (s *narrowSums) hasBias() bool { return s.shift > 0 && (s.groups > 0 || s.vnni) }

// shiftedBias returns what the offset of the codes adds to a token's sums.
func (s *narrowSums) shiftedBias(token int) reg.VecVirtual {
	b := s.bias(token)
	VPSLLD(Int(s.shift), b, b)
	return b
}

// begin begins new sums.
func (s *narrowSums) begin() {
	s.in32, s.in16, s.added, s.spilled = map[[2]int]reg.VecVirtual{}, map[[2]int]reg.VecVirtual{}, 0, false
	for t := range s.tokens {
		for r := range s.vectors {
			switch at := [2]int{t, r}; {
			case !s.vnni:
			case !s.hasBias():
				s.in32[at] = s.Zero()
			case r == 0:
				s.in32[at] = s.shiftedBias(t)
			default:
				s.in32[at] = s.Vec()
				VMOVDQA(s.in32[[2]int{t, 0}], s.in32[at])
			}
		}
	}
}

// add adds the products of four values of each row, the codes, and of each token, those at q.
func (s *narrowSums) add(codes []reg.VecVirtual, q func(token int) Mem) {
	if !s.vnni && s.groups > 0 && s.added == s.groups {
		s.widen()
	}
	var magnitudes []reg.VecVirtual
	if !s.vnni && s.groups == 0 {
		for _, w := range codes {
			m := s.Vec()
			VPABSB(w, m)
			magnitudes = append(magnitudes, m)
		}
	}
	for t := range s.tokens {
		v := s.Vec()
		VPBROADCASTD(q(t), v)
		for r, w := range codes {
			at := [2]int{t, r}
			if s.vnni {
				VPDPBUSD(v, w, s.in32[at])
				continue
			}
			p := s.Vec()
			if s.groups > 0 {
				VPMADDUBSW(v, w, p)
				if s.added == 0 {
					s.in16[at] = p
				} else {
					VPADDW(p, s.in16[at], s.in16[at])
				}
				continue
			}
			VPSIGNB(w, v, p)
			VPMADDUBSW(p, magnitudes[r], p)
			VPMADDWD(con("shorts1"), p, p)
			if s.in32[at] == nil {
				s.in32[at] = p
			} else {
				VPADDD(p, s.in32[at], s.in32[at])
			}
		}
	}
	s.added++
}

// widen adds the sums in 16 bits to those in 32.
func (s *narrowSums) widen() {
	for t := range s.tokens {
		for r := range s.vectors {
			v := s.whole(t, r)
			if s.spill == nil {
				s.in32[[2]int{t, r}] = v
			} else {
				VMOVDQU(v, s.spill(t, r))
			}
		}
	}
	s.added, s.spilled = 0, true
}

// whole returns the sums so far.
func (s *narrowSums) whole(token, vector int) reg.VecVirtual {
	at := [2]int{token, vector}
	if s.vnni || s.groups == 0 {
		return s.in32[at]
	}
	v := s.in16[at]
	VPMADDWD(con("shorts1"), v, v)
	switch {
	case !s.spilled:
	case s.spill == nil:
		VPADDD(s.in32[at], v, v)
	default:
		VPADDD(s.spill(token, vector), v, v)
	}
	return v
}

// end returns a token's sums as f32.
func (s *narrowSums) end(token int) (out []reg.VecVirtual) {
	var bias reg.VecVirtual
	if s.hasBias() && !s.vnni {
		bias = s.shiftedBias(token)
	}
	for r := range s.vectors {
		v := s.whole(token, r)
		if bias != nil {
			VPADDD(bias, v, v)
		}
		VCVTDQ2PS(v, v)
		out = append(out, v)
	}
	return out
}

// operands say where the operands of a block of 32 values lie.
type operands struct {
	tokens, vectors int
	codes           func(g int) []reg.VecVirtual // of values 4g to 4g+3
	slot            func(slot, vector int) Mem   // scales, and then minimums
	q               func(token, g int) Mem       // a token's values 4g to 4g+3
	d, all, lo, sum func(token int) Mem
	spill           func(token, vector int) Mem // see sums
	result          func(token, vector int) Mem
}

// multiply adds the product of a block to results.
func (s narrow) multiply(h shape, o operands) {
	halves := h.kind.halves()
	whole := narrowSums{narrow: s, shape: h, tokens: o.tokens, vectors: o.vectors, spill: o.spill}
	word := func(m Mem) reg.VecVirtual {
		v := s.Vec()
		VPBROADCASTD(m, v)
		return v
	}
	for half := range halves {
		whole.bias = func(token int) reg.VecVirtual {
			if halves == 1 {
				return word(o.all(token))
			}
			v := word(o.lo(token))
			if half == 1 {
				VPSUBD(v, word(o.all(token)), v)
			}
			return v
		}
		whole.begin()
		for g := half * 8 / halves; g < (half+1)*8/halves; g++ {
			whole.add(o.codes(g), func(token int) Mem { return o.q(token, g) })
		}
		for t := range o.tokens {
			results := whole.end(t)
			d := s.Broadcast(o.d(t))
			for r, v := range results {
				scale := s.Vec()
				VMULPS(o.slot(half, r), d, scale)
				VFMADD213PS(o.result(t, r), scale, v)
			}
			if half == halves-1 {
				s.addMinimums(h, o, t, d, results)
			}
			for r, v := range results {
				VMOVUPS(v, o.result(t, r))
			}
		}
	}
}

// addMinimums adds the products of the minimums and the token's sums.
func (s narrow) addMinimums(h shape, o operands, token int, d reg.VecVirtual, results []reg.VecVirtual) {
	add := func(slot int, sum reg.VecVirtual) {
		for r, v := range results {
			VFMADD231PS(o.slot(slot, r), sum, v)
		}
	}
	switch h.kind {
	case minimum:
		add(1, s.Broadcast(o.sum(token)))
	case minimum16:
		lo, hi := s.Vec(), s.Vec()
		VPBROADCASTD(o.lo(token), lo)
		VPBROADCASTD(o.all(token), hi)
		VPSUBD(hi, lo, hi) // minus the negated sum of the last 16
		VPSUBD(lo, s.Zero(), lo)
		for i, sum := range []reg.VecVirtual{lo, hi} {
			VCVTDQ2PS(sum, sum)
			VMULPS(d, sum, sum)
			add(2+i, sum)
		}
	}
}
