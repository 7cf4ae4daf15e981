package main

import (
	"fmt"
	"slices"

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

// kindGather is the number of gather in the table of a type; entry_amd64.s has 8 times that.
const kindGather = 9

// tables emits the addresses of an instruction set's functions, 8 bytes each: softmax for groups of
// 1 to 4, values for groups that do not see all cells, and a table for each type in the order of
// kinds, with expand, scores for groups of 1 to 4, values for groups of 1 to 4, and gather. The
// address of a function that does not exist is 0.
func (i isa) tables() Mem {
	for _, k := range kinds {
		texts := []string{"·opExpand" + k.name + i.name}
		for _, stage := range []string{"Scores", "Values"} {
			for g := 1; g <= 4 && k.direct; g++ {
				texts = append(texts, fmt.Sprintf("·op%s%d%s%s", stage, g, k.name, i.name))
			}
		}
		texts = append(texts, slices.Repeat([]string{""}, kindGather-len(texts))...)
		table("texts"+k.name+i.name, append(texts, "·opGather"+k.name+i.name))
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
	return table("texts"+i.name, texts)
}

func table(name string, symbols []string) Mem {
	m := GLOBL(name, NOPTR) // not RODATA: the addresses may be relocated when the program is loaded
	for j, symbol := range symbols {
		if symbol != "" {
			DATA(8*j, address{U64(0), symbol})
		} else {
			DATA(8*j, U64(0))
		}
	}
	return m
}
