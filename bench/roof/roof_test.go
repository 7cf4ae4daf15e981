package roof

import (
	"testing"
	"time"

	"github.com/seed4d217819/ebb/isa"
)

// Each instruction set multiplies at least as fast as a core could add two bytes a cycle.
func TestLoopsOfAllInstructionSetsRun(t *testing.T) {
	for _, set := range isa.All() {
		got, ok := Operations(set, 2, time.Millisecond)
		if ok != (set != isa.Go) {
			t.Errorf("%v: a loop is there: %t", set, ok)
		}
		if ok && !(got > 1e9) {
			t.Errorf("%v: %g operations a second", set, got)
		}
		t.Logf("%v: %.0f GOP/s", set, got/1e9)
	}
	if _, ok := Operations(isa.GGML, 1, time.Millisecond); ok {
		t.Error("there is a loop for ggml's own products")
	}
}
