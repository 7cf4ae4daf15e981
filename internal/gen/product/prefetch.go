package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// prefetch emits the prefetching of some lines into the second cache, with two registers for itself.
// While a thread expands a part of a panel and multiplies it, that brings the part that is next, so
// that memory is read all the time.
func prefetch(coming, lines reg.Register) {
	none := NewLabel("none")
	MOVQ(f("lines"), lines)
	TESTQ(lines, lines)
	JZ(LabelRef(none))
	MOVQ(f("coming"), coming)
	line := Mark("line")
	PREFETCHT1(At(coming, 0))
	ADDQ(Imm(64), coming)
	DECQ(lines)
	JNZ(LabelRef(line))
	MOVQ(coming, f("coming"))
	Label(none)
}
