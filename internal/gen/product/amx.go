package main

import (
	. "github.com/mmcloughlin/avo/build"
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

// tileConfigs emits configurations for 1 to 16 tokens.
func tileConfigs() {
	var configs [][]TileShape
	for n := 1; n <= 16; n++ {
		configs = append(configs, []TileShape{{sums0, n, 64}, {sums1, n, 64}, {acts, n, 32}, {codes, 8, 64}, {acts16, n, 16}, {codes16, 4, 64}})
	}
	emitted["tileConfigs"] = TileConfigs("tileConfigs", configs...)
}

// amxBegin and amxFinish surround an operation on each thread.
func amxBegin() {
	Text("amxBegin", "amxBegin keeps the tiles' configuration.")
	KeepTileConfig(At(reg.RDI, amxConfig))
	MOVQ(I32(0), At(reg.RDI, amxTokens))
	Ret()
	Text("amxFinish", "amxFinish configures the tiles as amxBegin has found them.")
	RestoreTileConfig(At(reg.RDI, amxConfig))
}

// configure configures the tiles for the number of tokens in CX.
func configure() {
	MOVQ(reg.RCX, At(reg.RDI, amxTokens))
	MOVQ(reg.RCX, reg.RDX)
	SHLQ(Imm(6), reg.RDX) // tileConfig
	LEAQ(con("tileConfigs").Offset(-TileConfig), reg.RAX)
	ADDQ(reg.RDX, reg.RAX)
	LoadTileConfig()
}

// amxFunctions are AMX's: those for many tokens, and VNNI's for few.
var amxFunctions = functions{
	quantise: vnniFunctions.quantise, normQuantise: vnniFunctions.normQuantise, glus: vnniFunctions.glus,
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
	group:  vnniFunctions.group,
	passes: func(int) int { return 2 }, // one for each half of the rows
}

func amx() {
	tileConfigs()
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
