package isa

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for i, name := range names {
		got, err := Parse(name)
		if has := ISA(i) <= GGML || slices.Contains(All(), ISA(i)); has != (err == nil) {
			t.Errorf("%s: %v; want an error only where the processor lacks it (%v)", name, err, All())
		}
		if ISA(i).Title() == "" {
			t.Errorf("%s has no title", name)
		}
		if err == nil && got != ISA(i) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if _, err := Parse("sse"); err == nil || !strings.Contains(err.Error(), "avx512") {
		t.Errorf("sse: got %v, want an error with the names", err)
	}
	if got, err := Parse(""); err != nil || got != Best {
		t.Errorf("no name: got %v, %v; want best", got, err)
	}
}

// Each instruction set includes those before it, so that a kernel may use the best one that it has
// code for.
func TestInstructionSetsAreInOrder(t *testing.T) {
	if all := All(); !slices.IsSorted(all) || all[0] != Go {
		t.Errorf("got %v", all)
	}
}
