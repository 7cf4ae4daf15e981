package asm

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// TileConfig is the bytes of a configuration of AMX's tiles.
const TileConfig = 64

// TileShape is a tile with some rows of some bytes each, up to 16 of 64. The type has no name of its
// own, so that go vet takes literals without names of fields.
type TileShape = struct{ Tile, Rows, RowBytes int }

// TileConfigs emits configurations of AMX's tiles, one after the other.
func TileConfigs(name string, configs ...[]TileShape) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for n, shapes := range configs {
		var config [TileConfig]byte
		config[0] = 1 // the palette
		for _, t := range shapes {
			config[16+2*t.Tile], config[48+t.Tile] = byte(t.RowBytes), byte(t.Rows)
		}
		for i, b := range config {
			DATA(n*TileConfig+i, U8(b))
		}
	}
	return m
}

// Neither avo nor Go's assembler knows AMX's instructions: a VEX prefix of 3 bytes for map 0F38, with
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

// LoadTileConfig loads the configuration at RAX.
func LoadTileConfig() { vex(noPrefix, 0, 0x49, reg.RAX, nil, 0) }

// KeepTileConfig stores the present configuration at m. With [RestoreTileConfig] it surrounds an
// operation on each thread. Threads are ggml's, whose own products configure the tiles once on each:
// they must find them afterwards as they left them.
func KeepTileConfig(m Mem) {
	LEAQ(m, reg.RAX)
	vex(prefix66, 0, 0x49, reg.RAX, nil, 0)
}

// RestoreTileConfig ends a function that configures the tiles as [KeepTileConfig] has found them.
// Where nobody had configured them, they are released, so that the thread has no more state to save
// than others.
func RestoreTileConfig(m Mem) {
	none := NewLabel("none")
	LEAQ(m, reg.RAX)
	CMPB(At(reg.RAX, 0), Imm(0)) // the palette
	JEQ(LabelRef(none))
	LoadTileConfig()
	Ret()
	Label(none)
	vex(noPrefix, 0, 0x49, nil, nil, 0xC0)
	Ret()
}

// ZeroTile makes a tile zeros.
func ZeroTile(tile int) { vex(prefixF2, 0, 0x49, nil, nil, byte(0xC0|tile<<3)) }

// LoadTile loads a tile's rows from base+disp on, index × scale bytes apart. The registers are
// physical ones, and avo does not see that they are used.
func LoadTile(tile int, base, index reg.Register, scale, disp int) {
	vex(prefixF2, 0, 0x4B, base, index, tileMemory(tile, base, index, scale, disp)...)
}

// StoreTile stores a tile's rows as [LoadTile] loads them.
func StoreTile(tile int, base, index reg.Register, scale, disp int) {
	vex(prefixF3, 0, 0x4B, base, index, tileMemory(tile, base, index, scale, disp)...)
}

// MultiplyBytes makes sums += a × b: whole numbers of signed bytes.
func MultiplyBytes(sums, a, b int) { vex(prefixF2, b, 0x5E, nil, nil, byte(0xC0|sums<<3|a)) }

// MultiplyHalves makes sums += a × b: f32 of bf16.
func MultiplyHalves(sums, a, b int) { vex(prefixF3, b, 0x5C, nil, nil, byte(0xC0|sums<<3|a)) }
