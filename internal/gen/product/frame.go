package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// frame is the state that an operation keeps in memory.
var frame = Structure{Name: "frame", Doc: "frame is the state that an operation keeps in memory, one frame for each thread.", Fields: []Field{
	{"tensor", 1, "the operation's result"},
	{"thread", 1, ""},
	{"threads", 1, "that have frames"},
	{"isa", 1, "number of the instruction set's table, in the order of internal/gen/product/tables.go"},
	{"texts", 1, "the instruction set's functions"},
	{"record", 1, "those for the weights' type"},
	{"scratch", 1, "behind the frame: a panel's expanded part"},
	{"acts", 1, "tiles of the activations that are read"},
	{"nb", 1, "blocks of 32 values of a token in them"},
	{"tokens", 1, ""},
	{"tiles", 1, ""},
	{"counter", 1, "address of the operation's counter"},

	{"weights", 1, "the first panel"},
	{"panelSize", 1, "bytes"},
	{"panels", 1, ""},
	{"most", 1, "panels of an item at most"},
	{"panel", 1, "number of the item's first panel"},
	{"count", 1, "panels of the item"},
	{"nth", 1, "that are done with the part at hand"},
	{"next", 1, "few tokens: the next panel of the thread's"},
	{"end", 1, "and past its last one"},
	{"chunks", 1, "into how many the tokens are divided, for each panel"},
	{"items", 1, "chunks, for each of the groups of panels"},
	{"reserved", 1, "the item that the thread takes next"},
	{"nextPanel", 1, "its first panel; -1: there is none"},
	{"following", 1, "address of the panel that the thread reads after the one at hand; 0: unknown"},
	{"tile0", 1, "the item's first tile"},
	{"tile1", 1, "and past its last one"},
	{"result", 1, "[tokens][32] f32, a row every cRow bytes: of the item's first token"},
	{"cRow", 1, ""},
	{"dst", 1, "the operation's result: of token 0 and panel 0"},
	{"residual", 1, "address of what is added to dst; 0: nothing"},
	{"addend", 1, "address of what is added to result; 0: nothing"},
	{"resRow", 1, "bytes from one token's to the next's; 0: the same for all"},

	{"src", 1, "units of packed weights: few, expand"},
	{"units", 1, "how many"},
	{"k", 1, "the part's first block"},
	{"kn", 1, "blocks of the part"},
	{"tile", 1, "number of the tile at hand"},
	{"left", 1, "its tokens that are not done"},
	{"size", 1, "tokens of the group at hand"},
	{"q", 1, "their values, in block k"},
	{"d", 1, "and scales"},
	{"n4", 1, "4 times the tokens of the whole tile"},
	{"c", 1, "their results"},
	{"res", 1, "what is added to them; 0: nothing, or not yet"},
	{"coming", 1, "address of what is prefetched next"},
	{"comingEnd", 1, "and past the last of it"},
	{"share", 1, "cache lines to prefetch whenever a block is expanded or multiplied"},
	{"lines", 1, "the same, or 0: nothing is left"},

	{"gateRecord", 1, "GateUp"},
	{"gate", 1, "its first panel"},
	{"gateSize", 1, "bytes of one"},
	{"upRecord", 1, ""},
	{"up", 1, ""},
	{"upSize", 1, ""},
	{"gateBias", 1, "address of what is added to the gate; 0: nothing"},
	{"upBias", 1, ""},
	{"glu", 1, "number of the gated linear unit"},
	{"gates", 1, "[tokens][32] f32: results for an item"},
	{"ups", 1, ""},

	{"out", 1, "tiles of the activations that are written"},
	{"outNb", 1, "blocks of a token in them"},
	{"t", 1, "the first token to quantise"},
	{"tEnd", 1, "past the last one"},
	{"b", 1, "the first block to quantise"},
	{"bEnd", 1, "past the last one"},
	{"x", 1, "the values of token 0"},
	{"xRow", 1, "bytes from one token's to the next's"},
	{"norm", 1, "weights of the norm"},
	{"eps", 1, "f32"},
}}

// texts are the functions of an instruction set, which is followed by a record for each of ggml's
// types.
var texts = Structure{Name: "texts", Doc: "texts are an instruction set's functions. A record for each of ggml's types follows.", Fields: []Field{
	{"quantise", 1, "tokens t to tEnd, blocks b to bEnd, of x"},
	{"normQuantise", 1, "the same of the norm of x"},
	{"glus", 3, "tokens t to tEnd, block b, of what a gated linear unit makes of gates and ups: one for each GLU"},
	{"begin", 1, "called at the start of a product on every thread; 0: nothing"},
	{"finish", 1, "and at its end; 0: nothing"},
	{"passes", 16, "how often tile goes through scratch, for 1 to 16 tokens of a tile"},
}}

var record = Structure{Name: "record", Doc: "record holds an instruction set's functions for weights of a type. All are 0 if there are none.", Fields: []Field{
	{"few", 4, "the product of src, a panel's units, and 1 to 4 tokens"},
	{"expand", 1, "src, units of a panel, to scratch"},
	{"tile", 1, "the product of scratch and the tokens left of a tile"},
	{"group", 6, "that of scratch and 1 to 6 tokens"},
	{"unitBlocks", 1, "logarithm of the blocks of 32 values of a unit"},
	{"unitSize", 1, "bytes of 32 rows' unit"},
	{"stride", 1, "bytes of an expanded block"},
	{"shift", 1, "logarithm of the offset of codes"},
	{"lines", 1, "cache lines of a packed block of 32 rows"},
}}

const (
	frameSize  = 1024
	unitScales = frameSize // in a frame: scales and minimums of the unit at hand, 8 times 4 [32] f32
	types      = 40
)

// f is a field of the frame in memory.
func f(name string) Mem { return frame.InFrame(name) }

// load returns a field of the frame in a register.
func load(name string) reg.GPVirtual {
	r := GP64()
	MOVQ(f(name), r)
	return r
}
