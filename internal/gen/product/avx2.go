package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// narrow is an instruction set with vectors of 8 words: AVX2, without or with AVX-VNNI.
type narrow struct {
	set
	vnni bool
}

var (
	avx2    = narrow{set{Set{Name: "AVX2", Lanes: 8}}, false}
	avxVNNI = narrow{set{Set{Name: "AVXVNNI", Lanes: 8}}, true}
)

func (s narrow) functions() functions {
	fn := functions{
		quantise: "quantiseAVX2", normQuantise: "normQuantiseAVX2", glus: gluNames("AVX2"),
		few:    func(r reader, n int) string { return fmt.Sprintf("few%d%s%s", n, r.name, s.Name) },
		expand: func(r reader) string { return "expand" + r.name + "AVX2" },
		tile:   func(r reader) string { return s.tileName(r.shape()) },
		group:  func(kind, int) string { return "" },
		passes: func(n int) int { return 2 * ((n + 3) / 4) }, // one for each half of the rows
	}
	if s.vnni {
		fn.expand = func(r reader) string {
			if avx2.signed(r.shape()) {
				return "expand" + r.name + s.Name
			}
			return "expand" + r.name + "AVX2"
		}
	}
	return fn
}

func (s narrow) tileName(h shape) string {
	return fmt.Sprintf("tile%vShift%dSums%d%s", h.kind, h.shift, h.groups, s.Name)
}

func (s narrow) emit() {
	fn := s.functions()
	if !s.vnni {
		s.quantise(fn.quantise, false)
		s.quantise(fn.normQuantise, true)
		s.emitGLUs(fn.glus, func() func(written, []reg.VecVirtual) { return s.write })
	}
	for _, h := range shapes() {
		s.tile(h, s.tileName(h))
	}
	for _, r := range readers {
		if !s.vnni || avx2.signed(r.shape()) {
			s.expand(r, fn.expand(r), s.signed(r.shape()))
		}
		for n := 1; n <= 4; n++ {
			s.few(r, fn.few(r, n), n)
		}
	}
}

// narrowConstants are those of AVX2 alone.
func narrowConstants() {
	words("shorts1", func(int) uint32 { return 0x00010001 })
	words("byLane", func(i int) uint32 { return uint32(i%8/2 + i%2*4) })
	for byt := range 4 {
		words("repeat"+itoa(byt), func(i int) uint32 { return 0x01010101 * uint32(i%4*4+byt) })
	}
	words("bitsLow", func(int) uint32 { return 0x08040201 })
	words("bitsHigh", func(int) uint32 { return 0x80402010 })
}

// spreadNarrow is spread without lookups of 16 words.
func (s set) spreadNarrow(v reg.VecVirtual, m Mem, g int) {
	bits := con("bitsLow")
	if g%2 == 1 {
		bits = con("bitsHigh")
	}
	w := s.Loaded(m)
	VPSHUFB(con("repeat"+itoa(g/2)), w, w)
	VPAND(bits, w, w)
	VPCMPEQB(bits, w, w)
	VPAND(con("bytes16"), w, w)
	VPOR(w, v, v)
}
