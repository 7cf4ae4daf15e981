package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// AMX multiplies tiles of bf16, here always [16][16 pairs] by [16 pairs][16], and adds them to f32
// [16][16]. An f32 is the sum of three bf16, its pieces: its upper 16 bits, those of what is left, and
// so on. For a column of vectors and 32 cells
//
//	scores [32 cells][16] f32  = keys [cells][dk] × queries [dk][16]
//	outputs [dv][16] f32      += values, transposed [dv][cells], × weights [cells][16]
//
// are sums of products of pieces. The pieces of queries are made once in a pass, and those of keys and
// values once for each tile of cells. A pair is two numbers of a key, or two cells, that are 16 apart,
// so that it takes no shuffle to bring them together. docs/attention.md says what is exact.

// pieces returns how many pieces a key or value of the type has at most.
func (k kind) pieces() int {
	switch k.name {
	case "BF16":
		return 1
	case "F16", "Q4_0": // 11 bits; those of a scale times a code of 3 bits
		return 2
	default: // F32, and Q8_0: a scale of 11 bits times a code of 7
		return 3
	}
}

// amxISA is the number of the instruction set in a frame: AVX-512, with AMX for columns.
const amxISA = 2

const tileBytes = 1024

// term is a product of pieces: of a key or value, and of a query or weight. 0 is the first piece.
type term struct{ a, b int }

// terms returns the products of pieces, the smallest first and that of the first pieces last. What is
// left out is less than 2^-22 of the whole.
func terms(pieces int) []term {
	return [][]term{
		{{0, 2}, {0, 1}, {0, 0}},
		{{1, 1}, {1, 0}, {0, 2}, {0, 1}, {0, 0}},
		{{2, 0}, {1, 1}, {1, 0}, {0, 2}, {0, 1}, {0, 0}},
	}[pieces-1]
}

// amxTables returns the tables of functions for columns on AMX, by the number of pieces of keys and
// values, and by keys' sizes: 0, which is any, and stepDims. They are those of columnTables, what makes
// the pieces of a tile, and for stepDims softmax of a column beside the scores of the next one, and
// values of the column before.
func amxTables() (tables [][]Mem) {
	for n := 1; n <= 3; n++ {
		values := fmt.Sprintf("·opColumnValuesAMX%d", n)
		texts := []string{
			fmt.Sprintf("·opColumnScoresAMX%d", n), "·opColumnSoftmaxAVX512", values, values,
			fmt.Sprintf("·opPiecesAMX%d", n),
		}
		name := fmt.Sprintf("columnsAMX%d", n)
		some := []Mem{Addresses(name, append(texts, "", ""))}
		for _, d := range stepDims {
			step, before := fmt.Sprintf("·opColumnStepAMX%dOf%d", n, d), fmt.Sprintf("·opColumnValuesBeforeAMX%d", n)
			some = append(some, Addresses(fmt.Sprintf("%sOf%d", name, d), append(texts, step, before)))
		}
		tables = append(tables, some)
	}
	return tables
}

// amx emits the functions.
func amx() {
	queryPieces()
	for n := 1; n <= 3; n++ {
		tilePieces(n)
		amxScores(n)
		amxValues(n)
		amxValuesBefore(n)
		for _, d := range stepDims {
			amxStep(n, d)
		}
	}
	Text("opBeginAMX", "opBeginAMX configures AMX's tiles, and keeps the configuration that it finds.")
	KeepTileConfig(f("config"))
	LEAQ(constants.tileConfig, reg.RAX)
	LoadTileConfig()
	Ret()
	Text("opFinishAMX", "opFinishAMX configures AMX's tiles as opBeginAMX has found them.")
	RestoreTileConfig(f("config"))
}

// wholeTiles is the configuration in which all of AMX's tiles have 16 rows of 64 bytes.
func wholeTiles() (shapes []TileShape) {
	for t := range 8 {
		shapes = append(shapes, TileShape{Tile: t, Rows: 16, RowBytes: 64})
	}
	return shapes
}

// pairs returns words of the upper 16 bits of a, and above them those of b. upper is their mask.
func pairs(a, b, upper reg.VecVirtual) reg.VecVirtual {
	t := ZMM()
	VPSRLD(Imm(16), a, t)
	VPTERNLOGD(Imm(0xF8), upper, b, t)
	return t
}

// storePieces stores the pieces of a and b in pairs, from m on in one tile after the other. It changes
// a and b.
func storePieces(a, b, upper reg.VecVirtual, pieces int, m Mem) {
	for i := range pieces {
		VMOVUPS(pairs(a, b, upper), m.Offset(tileBytes*i))
		if i+1 == pieces {
			return
		}
		for _, x := range []reg.VecVirtual{a, b} {
			t := ZMM()
			VPANDD(upper, x, t)
			VSUBPS(t, x, x)
		}
	}
}

// splitRows emits the making of three pieces of 32 rows of 16 f32 at src: it moves src and dst past
// half of them.
func splitRows(src, dst reg.GPVirtual, upper reg.VecVirtual) {
	n := GP64()
	MOVQ(U32(16), n)
	loop := Mark("rows")
	a, b := isas[1].Loaded(At(src, 0)), isas[1].Loaded(At(src, 16*columnBytes))
	storePieces(a, b, upper, 3, At(dst, 0))
	ADDQ(Imm(columnBytes), src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef(loop))
}

// queryPieces makes the pieces of the pass's queries: for each column [dk/32][3 pieces] tiles.
func queryPieces() {
	Text("opQueryPieces", "opQueryPieces makes the pieces of the pass's queries, which are columns.")
	src, dst, left, upper := load("qs"), load("qa"), load("nv"), isas[1].Loaded(constants.upper)
	columns := Mark("columns")
	d := load("dk")
	dims := Mark("dims")
	splitRows(src, dst, upper)
	ADDQ(Int(16*columnBytes), src)
	ADDQ(Int(2*tileBytes), dst)
	SUBQ(Imm(32), d)
	JNZ(LabelRef(dims))
	SUBQ(Int(column), left)
	JNZ(LabelRef(columns))
	Ret()
}
