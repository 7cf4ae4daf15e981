package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// kind is a type of K and V.
type kind struct {
	name   string
	number int // ggml's
	// step values take bytes, and are read together; they are 16 or 32.
	step, bytes int
	// direct is set if there are functions that read keys and values of this type in place.
	// Otherwise they are first expanded to f32.
	direct bool
	// open reads what the step values at m share.
	open func(i isa, m Mem) shared
	// read returns the values from d on of the step at m.
	read func(i isa, s shared, m Mem, d int) reg.VecVirtual
}

// shared holds what the values of a block have in common.
type shared struct{ scale, offset, table reg.VecVirtual }

func nothing(isa, Mem) shared { return shared{} }

var kinds = []kind{
	{
		"F32", 0, 16, 64, true, nothing,
		func(i isa, _ shared, m Mem, d int) reg.VecVirtual { return i.Loaded(m.Offset(4 * d)) },
	},
	{
		"F16", 1, 16, 32, true, nothing,
		func(i isa, _ shared, m Mem, d int) reg.VecVirtual {
			v := i.Vec()
			VCVTPH2PS(m.Offset(2*d), v)
			return v
		},
	},
	{
		"BF16", 30, 16, 32, false, nothing,
		func(i isa, _ shared, m Mem, d int) reg.VecVirtual {
			v := i.Vec()
			VPMOVZXWD(m.Offset(2*d), v)
			VPSLLD(Imm(16), v, v)
			return v
		},
	},
	{
		"Q8_0", 8, 32, 34, true,
		func(i isa, m Mem) shared { return shared{scale: i.half(m)} },
		func(i isa, s shared, m Mem, d int) reg.VecVirtual {
			v := i.Vec()
			VPMOVSXBD(m.Offset(2+d), v)
			VCVTDQ2PS(v, v)
			VMULPS(s.scale, v, v)
			return v
		},
	},
	{
		"Q4_0", 2, 32, 18, true,
		func(i isa, m Mem) shared {
			s := shared{scale: i.half(m)}
			if i.Wide() { // the 16 values that a code may stand for in this block
				s.table = i.Vec()
				VMULPS(constants.nibbles, s.scale, s.table)
				return s
			}
			s.offset = i.Vec()
			VMULPS(constants.minus8, s.scale, s.offset)
			return s
		},
		func(i isa, s shared, m Mem, d int) reg.VecVirtual {
			v := i.Vec()
			VPMOVZXBD(m.Offset(2+d%16), v)
			if d >= 16 {
				VPSRLD(Imm(4), v, v)
			}
			if i.Wide() { // the lookup takes the low 4 bits
				VPERMPS(s.table, v, v)
				return v
			}
			if d < 16 {
				VPAND(constants.nibble, v, v)
			}
			VCVTDQ2PS(v, v)
			VFMADD213PS(s.offset, s.scale, v)
			return v
		},
	},
}

func (k kind) quantized() bool { return k.step == 32 }

// half returns a vector of the f16 at m.
func (i isa) half(m Mem) reg.VecVirtual {
	v := i.Vec()
	if i.Wide() {
		VPBROADCASTW(m, v.AsY())
		VCVTPH2PS(v.AsY(), v)
		return v
	}
	x := XMM()
	VPBROADCASTW(m, x)
	VCVTPH2PS(x, v)
	return v
}

// expand converts the tile's keys and values to f32.
func (k kind) expand(i isa) {
	name := "opExpand" + k.name + i.Name
	Text(name, name+" makes the tile's keys and values f32. Behind its last cell they are what earlier tiles left.")
	for _, s := range []string{"k", "v"} {
		src, dst, ahead, n := load(s+"p"), load(s+"x"), load(s+"x"), load("tn")
		CMPQ(f("columns"), Imm(0)) // the scores and values of groups prefetch by themselves
		CMOVQNE(f(s+"Next"), ahead)
		store(dst, s+"t")
		IMULQ(f("d"+s), n)
		k.convert(i, src, dst, ahead, n)
	}
	Ret()
}

// gather converts the keys and values of the cells that a row lists in a tile, each to the place that
// it would have if the row's cells lay together.
func (k kind) gather(i isa) {
	name := "opGather" + k.name + i.Name
	Text(name, name+" makes the keys and values f32 that the row at hand lists. In other places they are what earlier tiles left.")
	for _, s := range []string{"k", "v"} {
		base, list, bits, cells := load("head"), load("list"), load("picked"), load("tile")
		IMULQ(f(s+"Head"), base)
		ADDQ(f(s), base)
		SHLQ(Imm(2), cells)
		ADDQ(list, cells)
		loop := Mark("listed")
		t, dst := GP64(), GP64()
		TZCNTQ(bits, t)
		BLSRQ(bits, bits)
		address := func(list reg.GPVirtual) reg.GPVirtual {
			p := Word(Indexed(list, t, 4, 0))
			IMULQ(f(s+"Cell"), p)
			ADDQ(base, p)
			return p
		}
		src, ahead, n := address(list), address(cells), load("d"+s)
		MOVQ(f("d"+s+"b"), dst)
		IMULQ(t, dst)
		ADDQ(f(s+"x"), dst)
		k.convert(i, src, dst, ahead, n)
		TESTQ(bits, bits)
		JNZ(LabelRef(loop))
	}
	Ret()
}

// convert emits the conversion of n values, a multiple of 16 or of a block, to f32. It moves the
// addresses on, and prefetches as many bytes from ahead.
func (k kind) convert(i isa, src, dst, ahead, n reg.Register) {
	step := func(n int) {
		for at := 0; at < n; at += k.step {
			m := Mem{Base: src, Disp: at / k.step * k.bytes}
			shared := k.open(i, m)
			for d := 0; d < k.step; d += i.Lanes {
				VMOVUPS(k.read(i, shared, m, d), Mem{Base: dst, Disp: 4 * (at + d)})
			}
		}
	}
	loop, rest, done := NewLabel("loop"), NewLabel("rest"), NewLabel("done")
	bytes := 32 / k.step * k.bytes
	Label(loop)
	SUBQ(Imm(32), n)
	JLT(LabelRef(rest))
	for at := 0; at < bytes; at += 64 {
		PREFETCHT1(Mem{Base: ahead, Disp: at})
	}
	ADDQ(Int(bytes), ahead)
	step(32)
	ADDQ(Int(bytes), src)
	ADDQ(Int(128), dst)
	JMP(LabelRef(loop))
	Label(rest)
	if !k.quantized() {
		CMPQ(n, I32(-16))
		JNE(LabelRef(done))
		step(16)
	}
	Label(done)
}
