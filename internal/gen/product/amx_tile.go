package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// amxTile emits the product of the expanded panel in scratch and a tile's tokens. The integer sums of
// a block are a product of tiles, for each half of the panel's rows; vectors scale and add them, while
// the tiles of later blocks are multiplied. Three blocks are underway: the sums of one are scaled,
// those of the next one are stored, and the tiles of the third are multiplied.
func amxTile(k kind) {
	Text("amxTile"+k.String(), "amxTile"+k.String()+" multiplies scratch and the tokens left of a tile.")
	configured, fewer := NewLabel("configured"), NewLabel("fewer")
	MOVQ(f("left"), reg.RCX)
	CMPQ(reg.RCX, At(reg.RDI, amxTokens))
	JEQ(LabelRef(configured))
	configure()
	Label(configured)
	CMPQ(reg.RCX, Imm(16))
	JNE(LabelRef(fewer))
	tileProduct{k, false, 0}.rows()
	tileProduct{k, false, 1}.rows()
	Ret()

	Label(fewer)
	tileProduct{k, true, 0}.rows()
	tileProduct{k, true, 1}.rows()
	Ret()
}

// tileProduct is one of 16 of a panel's rows and a tile's tokens.
type tileProduct struct {
	kind
	fewer bool // than 16 tokens
	half  int  // of the panel's rows
}

// The registers of amxTile. Its vectors are 16 accumulators, one a token, and what follows them here.
var (
	nextActs    = reg.R8  // of the block whose tiles are loaded next
	nextCodes   = reg.R9  //
	further     = reg.RSI // blocks behind it
	rowBytes    = reg.R10 // 32: bytes of a token's values; of sums twice that, of codes four times
	rowScales   = reg.R11 // of the panel's rows, in the block that is scaled
	tokenScales = reg.R12 // and of the tokens
	tokenSums   = reg.RBX // their scales times sums
	blockBytes  = reg.RDX // of activations
	units       = reg.RCX // to scale: blocks, or halves of blocks
	stored      = reg.R13 // amxSums
	tokens      = reg.R15 // of the tile
	pointer     = reg.R14 // for anything
	other       = reg.RAX // for anything else
	rowScale    = reg.Z16 // of 16 rows
	rowMinimum  = reg.Z17 //
	integers    = [...]reg.VecPhysical{reg.Z20, reg.Z21, reg.Z22, reg.Z23}
	factors     = [...]reg.VecPhysical{reg.Z24, reg.Z25, reg.Z26, reg.Z27}
	accumulator = [...]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	}
)

func (a tileProduct) rows() {
	MOVQ(f("n4"), tokens)
	MOVQ(f("q"), nextActs)
	MOVQ(f("d"), tokenScales)
	LEAQ(Indexed(tokens, tokens, 2, 0), blockBytes) // 12n
	LEAQ(Indexed(tokenScales, blockBytes, 1, 0), tokenSums)
	SHLQ(Imm(2), blockBytes)
	SHRQ(Imm(2), tokens)
	MOVQ(f("scratch"), nextCodes)
	LEAQ(At(nextCodes, 1024+64*a.half), rowScales)
	MOVQ(U32(32), rowBytes)
	LEAQ(At(reg.RDI, amxSums), stored)
	MOVQ(f("kn"), units)
	MOVQ(units, further)
	if a.halves() == 2 {
		ADDQ(units, units)
	}
	a.start()

	a.multiply(0)
	StoreTile(0, stored, rowBytes, 2, 0)
	a.multiply(1)
	a.multiply(0)
	loop, end := Mark("loop"), NewLabel("end")
	a.scale(0)
	DECQ(units)
	if a.halves() == 1 {
		JEQ(LabelRef(end))
	}
	a.scale(1)
	DECQ(units)
	JNE(LabelRef(loop))
	Label(end)
	a.stop()
}

// each emits code for each token of the tile.
func (a tileProduct) each(emit func(t int)) {
	end := NewLabel("end")
	for t := range 16 {
		if a.fewer && t > 0 {
			CMPQ(tokens, Imm(uint64(t)))
			JEQ(LabelRef(end))
		}
		if !a.fewer || t < 15 {
			emit(t)
		}
	}
	Label(end)
}

// start begins with zeros, or with the sums of the parts before this one.
func (a tileProduct) start() {
	first, end := NewLabel("first"), NewLabel("end")
	CMPQ(f("k"), Imm(0))
	JEQ(LabelRef(first))
	MOVQ(f("c"), pointer)
	a.each(func(t int) {
		VMOVUPS(At(pointer, 64*a.half), accumulator[t])
		ADDQ(f("cRow"), pointer)
	})
	JMP(LabelRef(end))
	Label(first)
	for _, z := range accumulator {
		VXORPS(z, z, z)
	}
	Label(end)
}

// stop adds what there is to add, and stores the sums.
func (a tileProduct) stop() {
	add, end := NewLabel("add"), NewLabel("end")
	MOVQ(f("c"), pointer)
	MOVQ(f("res"), other)
	TESTQ(other, other)
	JNE(LabelRef(add))
	a.each(func(t int) {
		VMOVUPS(accumulator[t], At(pointer, 64*a.half))
		ADDQ(f("cRow"), pointer)
	})
	JMP(LabelRef(end))
	Label(add)
	a.each(func(t int) {
		VADDPS(At(other, 64*a.half), accumulator[t], accumulator[t])
		ADDQ(f("resRow"), other)
		VMOVUPS(accumulator[t], At(pointer, 64*a.half))
		ADDQ(f("cRow"), pointer)
	})
	Label(end)
}

// multiply emits the product of the next tiles: of a block, or of half unit of one.
func (a tileProduct) multiply(unit int) {
	a.loadActs(unit)
	a.loadCodes(unit)
	a.multiplyLoaded(unit)
}

func (a tileProduct) loadActs(unit int) {
	if a.halves() == 2 {
		LoadTile(acts16, nextActs, rowBytes, 1, 16*unit)
	} else {
		LoadTile(acts, nextActs, rowBytes, 1, 0)
	}
}

func (a tileProduct) loadCodes(unit int) {
	if a.halves() == 2 {
		LoadTile(codes16, nextCodes, rowBytes, 4, 64*a.half+512*unit)
	} else {
		LoadTile(codes, nextCodes, rowBytes, 4, 64*a.half)
	}
}

// multiplyLoaded goes to the next block, or stays with the last one: what it is multiplied again for
// is not used.
func (a tileProduct) multiplyLoaded(unit int) {
	ZeroTile(unit)
	if a.halves() == 2 {
		MultiplyBytes(unit, acts16, codes16)
		if unit == 0 {
			return
		}
	} else {
		MultiplyBytes(unit, acts, codes)
	}
	LEAQ(Indexed(nextActs, blockBytes, 1, 0), pointer)
	LEAQ(At(nextCodes, a.stride()), other)
	DECQ(further)
	CMOVQGT(pointer, nextActs)
	CMOVQGT(other, nextCodes)
}

// scale emits the scaling of the stored sums of a block, or of half unit of one. Tiles' instructions
// are spread among the vectors', so that neither wait for the others.
func (a tileProduct) scale(unit int) {
	next := 1 - unit
	StoreTile(next, stored, rowBytes, 2, 1024*next)
	slot := 0
	if a.halves() == 2 {
		slot = unit
	}
	VMOVUPS(At(rowScales, 128*slot), rowScale)
	if a.kind == minimum {
		VMOVUPS(At(rowScales, 128), rowMinimum)
	}
	if a.fewer {
		a.multiply(next)
	}
	a.each(func(t int) {
		if !a.fewer {
			switch t {
			case 4:
				a.loadActs(next)
			case 8:
				a.loadCodes(next)
			case 12:
				a.multiplyLoaded(next)
			}
		}
		i, d := integers[t%4], factors[t%4]
		VCVTDQ2PS(At(stored, 1024*unit+64*t), i)
		VMULPS_BCST(At(tokenScales, 4*t), rowScale, d)
		VFMADD231PS(d, i, accumulator[t])
	})
	if a.halves() == 2 && unit == 0 {
		return
	}
	prefetch(pointer, other)
	if a.kind == minimum {
		a.each(func(t int) { VFMADD231PS_BCST(At(tokenSums, 4*t), rowMinimum, accumulator[t]) })
		ADDQ(blockBytes, tokenSums)
	}
	ADDQ(blockBytes, tokenScales)
	ADDQ(Int(a.stride()), rowScales)
}
