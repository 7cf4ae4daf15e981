package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// address is that of a symbol, in a table.
type address struct {
	Constant // of no value: for its methods
	symbol   string
}

func (a address) Asm() string { return "$" + a.symbol + "(SB)" }

// isaKinds is the offset of the types' tables in the table of an instruction set.
const isaKinds = 8

// tables emits the addresses of an instruction set's functions, 8 bytes each: softmax for groups of
// 1 to 4, values for groups that do not see all cells, and a table for each type in the order of
// kinds, with expand, scores for groups of 1 to 4 and values for groups of 1 to 4. The address of a
// function that does not exist is 0.
func (i isa) tables() Mem {
	for _, k := range kinds {
		texts := []string{"·opExpand" + k.name + i.name}
		for _, stage := range []string{"Scores", "Values"} {
			for g := 1; g <= 4 && k.direct; g++ {
				texts = append(texts, fmt.Sprintf("·op%s%d%s%s", stage, g, k.name, i.name))
			}
		}
		table("texts"+k.name+i.name, texts, 9)
	}
	var texts []string
	for _, stage := range []string{"Softmax", "SeenValues"} {
		for g := 1; g <= 4; g++ {
			texts = append(texts, fmt.Sprintf("·op%s%d%s", stage, width(g), i.name))
		}
	}
	for _, k := range kinds {
		texts = append(texts, "texts"+k.name+i.name+"<>")
	}
	return table("texts"+i.name, texts, len(texts))
}

func table(name string, symbols []string, words int) Mem {
	m := GLOBL(name, NOPTR) // not RODATA: the addresses may be relocated when the program is loaded
	for j := range words {
		if j < len(symbols) {
			DATA(8*j, address{U64(0), symbols[j]})
		} else {
			DATA(8*j, U64(0))
		}
	}
	return m
}
