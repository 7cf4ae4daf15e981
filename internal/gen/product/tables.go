package main

import (
	"fmt"
	"math/bits"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// symbol is the address of one of these functions.
func symbol(name string) Constant {
	if name == "" {
		return Address("")
	}
	return Address("·" + name)
}

// functions are the names of an instruction set's functions. Some may be those of another one.
type functions struct {
	quantise, normQuantise string
	glus                   []string // in the order of glus
	begin, finish          string
	few                    func(r reader, n int) string
	expand                 func(r reader) string
	tile                   func(r reader) string
	group                  func(k kind, n int) string
	passes                 func(n int) int // how often tile goes through scratch for n tokens
}

// tables are the instruction sets' texts and records, which entry_amd64.s knows by their number.
var tables = []struct {
	set       string
	functions functions
	address   Mem
}{
	{set: "VNNI", functions: vnniFunctions},
	{set: "AVX2", functions: avx2.functions()},
	{set: "AVXVNNI", functions: avxVNNI.functions()},
	{set: "AMX", functions: amxFunctions},
}

// emitTables emits the tables and what finds one.
func emitTables() {
	for i := range tables {
		t := &tables[i]
		t.address = t.functions.table("texts" + t.set)
	}
	choose()
}

// choose finds the table of the instruction set. It uses AX alone.
func choose() {
	Text("choose", "choose sets texts to the table of the instruction set isa.")
	for i, t := range tables {
		other := NewLabel("other")
		CMPQ(f("isa"), Int(i))
		JNE(LabelRef(other))
		LEAQ(t.address, reg.RAX)
		MOVQ(reg.RAX, f("texts"))
		Ret()
		Label(other)
	}
	Ret()
}

// table emits the texts and records of an instruction set.
func (fn functions) table(name string) Mem {
	m := GLOBL(name, NOPTR) // not RODATA: the addresses may be relocated when the program is loaded
	size := texts.Size() + types*record.Size()
	word := 0
	put := func(c Constant) {
		if c != U64(0) || 8*word == size-8 { // the others are 0 anyway
			DATA(8*word, c)
		}
		word++
	}
	for _, s := range slices.Concat([]string{fn.quantise, fn.normQuantise}, fn.glus, []string{fn.begin, fn.finish}) {
		put(symbol(s))
	}
	for n := 1; n <= tileTokens; n++ {
		put(U64(uint64(fn.passes(n))))
	}
	for number := range types {
		r, ok := readerOf(number)
		if !ok {
			for range record.Size() / 8 {
				put(U64(0))
			}
			continue
		}
		for n := 1; n <= 4; n++ {
			put(symbol(fn.few(r, n)))
		}
		put(symbol(fn.expand(r)))
		put(symbol(fn.tile(r)))
		for n := 1; n <= 6; n++ {
			put(symbol(fn.group(r.kind, n)))
		}
		for _, n := range []int{log2(r.blocks), r.bytes, r.kind.stride(), r.shift, (r.bytes/r.blocks + 63) / 64} {
			put(U64(uint64(n)))
		}
	}
	if word*8 != size {
		panic(fmt.Sprintf("table %s has %d words", name, word))
	}
	return m
}

// log2 returns the logarithm of a power of two.
func log2(n int) int { return bits.TrailingZeros(uint(n)) }
