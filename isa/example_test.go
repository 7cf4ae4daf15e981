package isa_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/isa"
)

// The variable EBB_ISA names an instruction set.
func ExampleParse() {
	for _, name := range []string{"go", "ggml", "", "mmx"} {
		set, err := isa.Parse(name)
		fmt.Println(set, err != nil)
	}
	// Output:
	// go false
	// ggml false
	// best false
	// best true
}
