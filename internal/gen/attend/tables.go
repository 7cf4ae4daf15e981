package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/operand"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

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
		texts := []string{"·opExpand" + k.name + i.Name}
		for _, stage := range []string{"Scores", "Values"} {
			for g := 1; g <= 4 && k.direct; g++ {
				texts = append(texts, fmt.Sprintf("·op%s%d%s%s", stage, g, k.name, i.Name))
			}
		}
		texts = append(texts, slices.Repeat([]string{""}, kindGather-len(texts))...)
		Addresses("texts"+k.name+i.Name, append(texts, "·opGather"+k.name+i.Name))
	}
	var texts []string
	for _, stage := range []string{"Softmax", "SeenValues"} {
		for g := 1; g <= 4; g++ {
			texts = append(texts, fmt.Sprintf("·op%s%d%s", stage, width(g), i.Name))
		}
	}
	for _, k := range kinds {
		texts = append(texts, "texts"+k.name+i.Name+"<>")
	}
	return Addresses("texts"+i.Name, texts)
}
