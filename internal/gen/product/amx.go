package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// A product of AMX's tiles multiplies n tokens by 16 rows: sums [n][16] i32 are acts [n][32] i8 times
// codes [8][16][4] i8, or acts16 times codes16 of half as many values.
const (
	sums0, sums1    = 0, 1
	acts, codes     = 2, 3
	acts16, codes16 = 4, 5
)

// What a frame holds behind its fields during an operation.
const (
	amxSums   = unitScales // two tiles of sums, [2][16][16] i32, while no unit's scales are there
	amxConfig = 5120       // the tiles' configuration before
	amxTokens = 5120 + 64  // for how many tokens they are configured
)

const tileConfig = 64 // bytes

// tileConfigs emits LDTILECFG's operands for 1 to 16 tokens.
func tileConfigs() {
	constants["tileConfigs"] = GLOBL("tileConfigs", RODATA|NOPTR)
	for n := 1; n <= 16; n++ {
		var config [tileConfig]byte
		config[0] = 1 // the palette
		tile := func(t, rows, rowBytes int) { config[16+2*t], config[48+t] = byte(rowBytes), byte(rows) }
		tile(sums0, n, 64)
		tile(sums1, n, 64)
		tile(acts, n, 32)
		tile(codes, 8, 64)
		tile(acts16, n, 16)
		tile(codes16, 4, 64)
		for i, b := range config {
			DATA((n-1)*tileConfig+i, U8(b))
		}
	}
}

// Neither avo nor Go's assembler knows these instructions: a VEX prefix of 3 bytes for map 0F38, with
// a mandatory prefix and the tile that is its second source, then the opcode, and operands.
const (
	noPrefix = 0
	prefix66 = 1
	prefixF3 = 2
	prefixF2 = 3
)

func vex(prefix, second, opcode int, base, index reg.Register, operands ...byte) {
	clear := func(r reg.Register, bit int) int { // the bit is inverted: registers up to 7 set it
		if r != nil && number(r) >= 8 {
			return 0
		}
		return 1 << bit
	}
	b := []byte{0xC4, byte(1<<7 | clear(index, 6) | clear(base, 5) | 2), byte((15-second)<<3 | prefix), byte(opcode)}
	for _, b := range append(b, operands...) {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// number is a general register's in instructions.
func number(r reg.Register) int { return int(r.(reg.GPPhysical).PhysicalIndex()) }

// tileMemory is the ModRM byte, SIB byte and displacement of base+disp, with rows of index times scale
// bytes.
func tileMemory(tile int, base, index reg.Register, scale, disp int) []byte {
	sib := map[int]int{1: 0, 2: 1, 4: 2}[scale]<<6 | number(index)%8<<3 | number(base)%8
	return []byte{byte(2<<6 | tile<<3 | 4), byte(sib), byte(disp), byte(disp >> 8), byte(disp >> 16), byte(disp >> 24)}
}

// loadConfig loads the configuration at RAX, and storeConfig stores the present one there.
func loadConfig()  { vex(noPrefix, 0, 0x49, reg.RAX, nil, 0) }
func storeConfig() { vex(prefix66, 0, 0x49, reg.RAX, nil, 0) }

func releaseTiles() { vex(noPrefix, 0, 0x49, nil, nil, 0xC0) }

func zeroTile(tile int) { vex(prefixF2, 0, 0x49, nil, nil, byte(0xC0|tile<<3)) }

func loadTile(tile int, base, index reg.Register, scale, disp int) {
	vex(prefixF2, 0, 0x4B, base, index, tileMemory(tile, base, index, scale, disp)...)
}

func storeTile(tile int, base, index reg.Register, scale, disp int) {
	vex(prefixF3, 0, 0x4B, base, index, tileMemory(tile, base, index, scale, disp)...)
}

// multiplyTiles makes sums += a × b, signed bytes.
func multiplyTiles(sums, a, b int) { vex(prefixF2, b, 0x5E, nil, nil, byte(0xC0|sums<<3|a)) }

// amxBegin and amxFinish surround an operation on each thread. Threads are ggml's, whose own products
// configure the tiles once on each: they find them afterwards as they left them. Where nobody has
// configured them, they are released, so that the thread has no more state to save than others.
func amxBegin() {
	Text("amxBegin", "amxBegin keeps the tiles' configuration.")
	LEAQ(At(reg.RDI, amxConfig), reg.RAX)
	storeConfig()
	MOVQ(I32(0), At(reg.RDI, amxTokens))
	Ret()
	Text("amxFinish", "amxFinish configures the tiles as amxBegin has found them.")
	none := NewLabel("none")
	LEAQ(At(reg.RDI, amxConfig), reg.RAX)
	CMPB(At(reg.RAX, 0), Imm(0)) // the palette
	JEQ(LabelRef(none))
	loadConfig()
	Ret()
	Label(none)
	releaseTiles()
	Ret()
}

// configure configures the tiles for the number of tokens in CX.
func configure() {
	MOVQ(reg.RCX, At(reg.RDI, amxTokens))
	MOVQ(reg.RCX, reg.RDX)
	SHLQ(Imm(6), reg.RDX) // tileConfig
	LEAQ(con("tileConfigs").Offset(-tileConfig), reg.RAX)
	ADDQ(reg.RDX, reg.RAX)
	loadConfig()
}

// amxFunctions are AMX's: those for many tokens, and VNNI's for few.
var amxFunctions = functions{
	quantise: vnniFunctions.quantise, normQuantise: vnniFunctions.normQuantise, silu: vnniFunctions.silu,
	begin: "amxBegin", finish: "amxFinish",
	few: vnniFunctions.few,
	expand: func(r reader) string {
		if r.shift == 0 {
			return vnniFunctions.expand(r)
		}
		return "expand" + r.name + "AMX"
	},
	tile: func(r reader) string {
		if r.kind == minimum16 {
			return vnniFunctions.tile(r)
		}
		return "amxTile" + r.kind.String()
	},
	group: vnniFunctions.group,
}

func amx() {
	amxBegin()
	for _, k := range []kind{symmetric, minimum, symmetric16} {
		amxTile(k)
	}
	for _, r := range readers {
		if name := amxFunctions.expand(r); r.shift > 0 {
			vnniSet.expand(r, name, true)
		}
	}
}
