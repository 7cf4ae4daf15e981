package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// frame is the state that the kernel keeps in memory. Its fields up to items are the same on every
// thread, but for those of the tree at hand, which a thread goes to by itself; those from item on belong
// to one thread.
var frame = Structure{Name: "frame", Doc: "frame is the state that the kernel keeps in memory, one frame for each thread.", Fields: []Field{
	{"tensor", 1, "the op's result"},
	{"threads", 1, ""},
	{"isa", 1, "0: AVX2, 1: AVX512, 2: AVX512 with tiles of AMX for columns"},
	{"texts", 1, "its table of functions: see internal/gen/attend/tables.go"},
	{"column", 1, "its functions for columns: see internal/gen/attend/columns.go; 0: none"},
	{"floats", 1, "its functions for f32"},
	{"typed", 1, "its functions for the type of K and V"},
	{"base", 1, "the op's scratch: the result's data, rounded up to 64"},
	{"dst", 1, "[dv, heads, rows] f32"},
	{"lse", 1, "[heads, rows] f32"},
	{"q", 1, ""},
	{"k", 1, ""},
	{"v", 1, ""},
	{"spans", 1, "of the tree at hand"},
	{"work", 1, "the op's counters: the spans of its first tree"},
	{"sinks", 1, "[heads] f32; 0: none"},
	{"qHead", 1, "bytes from one head's query to the next"},
	{"qRow", 1, "bytes from one row's queries to the next"},
	{"kHead", 1, "bytes from one head's keys to the next"},
	{"vHead", 1, ""},
	{"kCell", 1, "bytes of a cell's key"},
	{"vCell", 1, ""},
	{"k16", 1, "bytes of 16 values of a key"},
	{"v16", 1, ""},
	{"dk", 1, "values of a key"},
	{"dv", 1, ""},
	{"dkb", 1, "bytes of a key in f32"},
	{"dvb", 1, ""},
	{"heads", 1, ""},
	{"kvHeads", 1, ""},
	{"group", 1, "query heads a KV head"},
	{"rows", 1, ""},
	{"cells", 1, "no row sees a cell from here on"},
	{"rowsAt", 1, "address of the rows in spans"},
	{"scale", 1, "f32: q is multiplied by it; scores are powers of two"},
	{"cap", 1, "f32: of the scores' powers; 0: none"},
	{"tile", 1, "cells"},
	{"pass", 1, "rows at most"},
	{"lanes", 1, "of 16 lanes, how many must have a vector where a pass is computed by columns; 0: none is"},
	{"parts", 1, "address of the ranges' results"},
	{"partSize", 1, "bytes"},
	{"room", 1, "vectors of a pass, rounded up to 4, or to 16 for whole columns"},
	{"ranges", 1, ""},
	{"blocks", 1, "passes of rows a head, each over all ranges; 0: work is divided by ranges"},
	{"items", 1, "of the op"},

	{"tree", 1, "where the tree at hand is described: see trees.go; nothing if the op has one"},
	{"itemFirst", 1, "the first item of the tree at hand"},
	{"itemEnd", 1, "and past the last one"},
	{"dstAll", 1, "dst, lse, q, spans and parts are of the tree at hand, and these of all"},
	{"lseAll", 1, ""},
	{"qAll", 1, ""},
	{"spansAll", 1, ""},
	{"partsAll", 1, ""},

	{"scores", 1, "of a group [tile, 1, 2 or 4] f32, and 16 more; of a column [tile, 16], and 3 × 16 more"},
	{"cellMask", 1, "[tile] 16 bits: the vectors of a column that see a cell"},
	{"rowMask", 1, "[pass] 32 bits: which cells of the tile each row sees"},
	{"listMask", 1, "[pass] 32 bits: those that a row that lists its cells sees, and rowMask has not"},
	{"vecRow", 1, "[room] i32: where in rowMask a vector's row is"},
	{"kx", 1, "[dk, tile] f32"},
	{"vx", 1, "[dv, tile] f32"},
	{"qs", 1, "[dk, room] f32: scaled queries, head by head and row by row; or columns"},
	{"own", 1, "a part for the range at hand"},
	{"acc", 1, "a part that others are added to"},

	{"item", 1, ""},
	{"head", 1, "KV head"},
	{"row0", 1, ""},
	{"nrows", 1, ""},
	{"nq", 1, "vectors: nrows × group"},
	{"nv", 1, "with those that fill up the last column"},
	{"columns", 1, "1 if the pass is computed by columns, 0 if by groups"},
	{"r", 1, "range"},
	{"part", 1, "where the range's result goes, or comes from"},
	{"low", 1, "the first cell that a row of the pass sees"},
	{"high", 1, "and past the last one"},
	{"allFrom", 1, "the first cell from which on all rows see all"},
	{"allTo", 1, "and past the last one"},

	{"c", 1, "the tile's first cell"},
	{"cEnd", 1, "past the range's last cell"},
	{"kp", 1, "the tile's keys"},
	{"vp", 1, ""},
	{"table", 1, "the functions for them"},
	{"kt", 1, "the keys' address for these functions"},
	{"vt", 1, ""},
	{"tn", 1, "cells of the tile"},
	{"full", 1, "mask of tn cells"},
	{"hidden", 1, "mask of those that some row does not see"},
	{"listed", 1, "mask of the rows that list the tile's cells and are not done"},
	{"list", 1, "the tile's cells in the list of the row at hand"},
	{"picked", 1, "mask of those that it sees"},
	{"kNext", 1, "to prefetch"},
	{"vNext", 1, ""},

	{"left", 1, "vectors of the pass that are not done"},
	{"qp", 1, "queries of up to 4 vectors, a group, or of 16, a column"},
	{"mp", 1, "running maxima"},
	{"lp", 1, "running sums"},
	{"op", 1, "running outputs"},
	{"rp", 1, "in vecRow"},
	{"vecs", 1, "scores in vectors: whole 16 of them"},
	{"size", 1, "vectors of the group"},
	{"seen", 1, "not 0 if any of them sees a cell"},
	{"partial", 1, "1 if some do not see all"},
	{"mask", 2, "4 × 32 bits: the cells that each of them sees"},
	{"vecMask", 8, "16 × 32 bits: the cells that each vector of a column sees"},
	{"qa", 1, "AMX: the pieces of the pass's queries: see internal/gen/attend/amx.go"},
	{"ka", 1, "AMX: those of the tile's keys"},
	{"va", 1, "AMX: and values"},
	{"pa", 1, "AMX: those of a column's weights, and behind them what its outputs are multiplied by"},
	{"pb", 1, "AMX: and of the column before"},
	{"other", 1, "AMX: scores of the next column"},
	{"together", 1, "AMX: 1 if softmax of a column may be beside the scores of the next one"},
	{"kWild", 1, "AMX: mask of the tile's cells whose keys are not all finite"},
	{"vWild", 1, "AMX: and whose values"},
	{"config", 8, "AMX: the configuration of the tiles that is to be restored"},
	{"corr", 8, "what outputs and sums so far are multiplied by"},
	{"partCorr", 8, "and those of a part that is added to others"},
}}

const frameSize = 1152

// f is a field of the frame in memory.
func f(name string) Mem { return frame.InFrame(name) }

// load returns a field of the frame in a register.
func load(name string) reg.GPVirtual {
	r := GP64()
	MOVQ(f(name), r)
	return r
}

func store(r Op, name string) { MOVQ(r, f(name)) }
