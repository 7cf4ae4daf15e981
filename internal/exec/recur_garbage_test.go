package exec

import (
	"fmt"
	"testing"

	"github.com/seed4d217819/ebb/kv"
)

// States add nothing to what a decode step leaves to the garbage collector, whether one sequence is
// decoded or several in one operation.
func TestDecodeStepsOfHybridsLeaveNoGarbage(t *testing.T) {
	for _, seqs := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d sequences", seqs), func(t *testing.T) {
			o := Options{Cache: kv.Options{Cells: 1024, Policy: kv.Static}}
			e := setting{devices: cpu, hybrid: true, Options: o}.mustOpen(t)
			var batch []kv.Work
			for i := range seqs {
				batch = append(batch, kv.Work{Seq: e.pool.NewSeq(), Tokens: []int32{int32(5 + i)}, Logits: 1})
			}
			var rows [][][]float32
			step := func() {
				var err error
				if rows, err = e.Forward(t.Context(), batch, rows); err != nil {
					t.Fatal(err)
				}
			}
			for range 300 { // past the first block, and until all graphs are built
				step()
			}
			if got := testing.AllocsPerRun(150, step); got > 1 { // the step itself
				t.Errorf("%g allocations a step; want at most 1", got)
			}
		})
	}
}
