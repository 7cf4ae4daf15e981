package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// kind says which numbers belong to 32 values of a row.
type kind int

const (
	symmetric   kind = iota // a scale
	minimum                 // a scale and a minimum
	symmetric16             // two scales, of 16 values each
	minimum16               // two scales and two minimums
)

var kinds = []kind{symmetric, minimum, symmetric16, minimum16}

func (k kind) String() string { return [...]string{"Sym", "Min", "Sym16", "Min16"}[k] }

// halves is how many scales 32 values have.
func (k kind) halves() int { return 1 + int(k)/2 }

// minimums is how many minimums they have.
func (k kind) minimums() int { return int(k) % 2 * k.halves() }

// slots is how many numbers they have: scales, and then minimums.
func (k kind) slots() int { return k.halves() + k.minimums() }

// stride is the bytes of an expanded block.
func (k kind) stride() int { return 1024 + 128*k.slots() }

// reader is how the units of a type are read: see format.go for what lies where.
type reader struct {
	name   string
	number int // ggml's
	kind   kind
	shift  int      // codes are the weights plus 1<<shift, in units of their scale; 0: they are the weights
	bytes  int      // of 32 rows' unit
	blocks int      // of 32 values of a unit
	step   int      // of them are read at a time
	high   int      // offset of the plane that moves from step to step with the codes; 0: none
	bits   int      // bits of a plane that belong to a step, a block each
	masks  []string // constants that code uses

	// scales calls put with each vector of the unit's scales and minimums.
	scales func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual))
	// code returns vector r of values 4g to 4g+3 of a block of the step at hand.
	code func(p place, block, g, r int) reg.VecVirtual
	// next goes to the next step of a unit; nil: there is none.
	next func(p place)
}

// place is where in a unit a step is.
type place struct {
	set
	unit, codes, high reg.GPVirtual // high: of further bits
	bit               []reg.VecVirtual
	masks             map[string]reg.VecVirtual
}

// pair is vector r of pair i, from m on.
func (p place) pair(base reg.Register, i, r int) Mem {
	return At(base, 128*i+p.bytes()*r)
}

// open loads the constants that a reader's code uses, which stay in registers as the place's other state does.
func (r reader) open(s set, unit reg.GPVirtual) place {
	p := place{set: s, unit: unit, codes: unit, masks: map[string]reg.VecVirtual{}}
	for _, name := range r.masks {
		p.masks[name] = s.Loaded(con(name))
	}
	if r.next != nil {
		p.codes = GP64()
	}
	if r.high > 0 {
		p.high = GP64()
	}
	for range r.bits {
		p.bit = append(p.bit, s.Vec())
	}
	return p
}

// first goes to the first step of a unit.
func (r reader) first(p place) {
	if r.next != nil {
		MOVQ(p.unit, p.codes)
	}
	if r.high > 0 {
		LEAQ(At(p.unit, r.high), p.high)
	}
	for b, v := range p.bit {
		VMOVUPS(con(fmt.Sprintf("bytes%d", 1<<b)), v)
	}
}

var readers = append(blockReaders, unitReaders...)

// blockReaders are of types whose units are a block of 32 values.
var blockReaders = []reader{
	{name: "Q4_0", number: 2, kind: symmetric, shift: 3, bytes: 576, blocks: 1, step: 1, scales: halves(512, 1), code: nibble, masks: []string{"bytes15"}},
	{name: "Q4_1", number: 3, kind: minimum, bytes: 640, blocks: 1, step: 1, scales: halves(512, 2), code: nibble, masks: []string{"bytes15"}},
	{name: "Q5_0", number: 6, kind: symmetric, shift: 4, bytes: 704, blocks: 1, step: 1, scales: halves(640, 1), code: fifth, masks: []string{"bytes15"}},
	{name: "Q5_1", number: 7, kind: minimum, bytes: 768, blocks: 1, step: 1, scales: halves(640, 2), code: fifth, masks: []string{"bytes15"}},
	{name: "Q8_0", number: 8, kind: symmetric, shift: 7, bytes: 1088, blocks: 1, step: 1, scales: halves(1024, 1), code: whole},
	{name: "IQ4_NL", number: 20, kind: symmetric, shift: 7, bytes: 576, blocks: 1, step: 1, scales: halves(512, 1), code: looked("iq4nl"), masks: []string{"bytes15", "iq4nl"}},
	{name: "MXFP4", number: 39, kind: symmetric, shift: 4, bytes: 544, blocks: 1, step: 1, scales: exponents(512), code: looked("mxfp4"), masks: []string{"bytes15", "mxfp4"}},
}

func readerOf(number int) (reader, bool) {
	for _, r := range readers {
		if r.number == number {
			return r, true
		}
	}
	return reader{}, false
}

// halves reads n numbers of each row, f16, from offset on.
func halves(offset, n int) func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
	return func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
		for slot := range n {
			for r := range s.vectors() {
				put(0, slot, r, s.half(At(unit, offset+64*slot), r))
			}
		}
	}
}

// exponents reads scales that are powers of two, of a byte each: 2^(e-128), as values are twice what
// the format says.
func exponents(offset int) func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
	return func(s set, unit reg.Register, put func(block, slot, r int, v reg.VecVirtual)) {
		for r := range s.vectors() {
			e, normal, small := s.Vec(), s.Vec(), s.Vec()
			VPMOVZXBD(At(unit, offset+s.Lanes*r), e)
			// The exponent is e-1. Of 0 and 1, whose scales are no normal numbers, that gives a number of
			// at most 0, and otherwise no less than the shift by 2.
			VPSUBD(con("words1"), e, normal)
			VPSLLD(Imm(23), normal, normal)
			VPMINUD(con("words2"), e, e)
			VMOVUPS(con("eighth"), small)
			VPSLLVD(e, small, small)
			VPMAXSD(small, normal, normal)
			put(0, 0, r, normal)
		}
	}
}

// nibbleAt returns the nibbles of a pair: low, or high.
func (p place) nibbleAt(m Mem, high bool) reg.VecVirtual {
	if high {
		return p.and(p.masks["bytes15"], p.shifted16(m, 4))
	}
	return p.and(p.masks["bytes15"], m)
}

func nibble(p place, _, g, r int) reg.VecVirtual {
	return p.nibbleAt(p.pair(p.codes, g%4, r), g >= 4)
}

func fifth(p place, _, g, r int) reg.VecVirtual {
	v := p.nibbleAt(p.pair(p.codes, g%4, r), g >= 4)
	p.spread(v, p.pair(p.unit, 4, r), g)
	return v
}

// spread makes v |= 16 in the bytes 0 to 3 of each word for which bits 4g to 4g+3 of the word at m are
// set.
func (s set) spread(v reg.VecVirtual, m Mem, g int) {
	if !s.Wide() {
		s.spreadNarrow(v, m, g)
		return
	}
	w := s.Vec()
	if g > 0 {
		VPSRLD(Int(4*g), m, w)
	} else {
		VMOVUPS(m, w)
	}
	VPERMD(con("spread"), w, w) // it takes the low 4 bits
	VPORD(w, v, v)
}

func whole(p place, _, g, r int) reg.VecVirtual { return p.Loaded(p.pair(p.codes, g, r)) }

func looked(table string) func(p place, block, g, r int) reg.VecVirtual {
	return func(p place, block, g, r int) reg.VecVirtual {
		v := nibble(p, block, g, r)
		out := p.Vec()
		VPSHUFB(v, p.masks[table], out)
		return out
	}
}
