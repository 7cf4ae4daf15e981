package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// address is that of a symbol, in a table.
type address struct {
	Constant // of no value: for its methods
	symbol   string
}

func (a address) Asm() string { return "$" + a.symbol + "(SB)" }

func symbol(name string) Constant {
	if name == "" {
		return U64(0)
	}
	return address{U64(0), "·" + name}
}

// functions are the names of an instruction set's functions. Some may be those of another one.
type functions struct {
	quantise, normQuantise, silu string
	begin, finish                string
	few                          func(r reader, n int) string
	expand                       func(r reader) string
	tile                         func(r reader) string
	group                        func(k kind, n int) string
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

func newTables() {
	for i := range tables {
		t := &tables[i]
		t.address = t.functions.table("texts" + t.set)
	}
}

// choose finds the table of the instruction set. It uses AX alone.
func choose() {
	text("choose", "choose sets texts to the table of the instruction set isa.")
	for i, t := range tables {
		other := label("other")
		CMPQ(f("isa"), imm(i))
		JNE(LabelRef(other))
		LEAQ(t.address, reg.RAX)
		MOVQ(reg.RAX, f("texts"))
		ret()
		Label(other)
	}
	ret()
}

// table emits the texts and records of an instruction set.
func (fn functions) table(name string) Mem {
	m := GLOBL(name, NOPTR) // not RODATA: the addresses may be relocated when the program is loaded
	word := 0
	put := func(c Constant) {
		DATA(8*word, c)
		word++
	}
	for _, s := range []string{fn.quantise, fn.normQuantise, fn.silu, fn.begin, fn.finish, "", "", ""} {
		put(symbol(s))
	}
	for number := range types {
		r, ok := readerOf(number)
		if !ok {
			for range record.size() / 8 {
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
		for _, n := range []int{log2(r.blocks), r.bytes, r.kind.stride(), r.shift} {
			put(U64(uint64(n)))
		}
	}
	if word*8 != texts.size()+types*record.size() {
		panic(fmt.Sprintf("table %s has %d words", name, word))
	}
	return m
}
