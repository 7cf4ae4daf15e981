package kv

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// Rows of one sequence that are NaN never reach another: kernels multiply masked cells by zero, and
// zero times NaN is NaN. The ledger looks at every cell that attention spans.
func TestNaNRowsReachNoOtherSequence(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Static, Offloaded, OffloadedStatic} {
		for _, copies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, copies %v", policy, copies), func(t *testing.T) {
				o := uniform(policy, 5, 600)
				o.ForcedCopies, o.ChunkTokens = copies, 64
				l := newLedger(t, ownCPU(t, 0), o)
				defer l.close()
				ill, well := l.pool.NewSeq(), l.seq()
				l.grow(growth{well, 10})
				growNaN(t, l.pool, ill, 500) // another tree: the slots
				l.grow(growth{well, 1})
				if err := ill.Close(); err != nil {
					t.Fatal(err)
				}
				again := l.seq() // perhaps in the memory of ill
				l.grow(growth{again, 5}, growth{well, 1})
				l.grow(growth{again, 300})

				sick := l.pool.NewSeq() // the same tree, truncated
				l.tokens[sick] = nil
				growNaN(t, l.pool, sick, 400)
				if err := sick.Truncate(0); err != nil {
					t.Fatal(err)
				}
				l.grow(growth{sick, 7})
				l.grow(growth{sick, 1}, growth{well, 1})
			})
		}
	}
}

// growNaN takes new tokens through a step in which their rows become NaN.
func growNaN(t *testing.T, p *Pool, seq *Seq, n int) {
	t.Helper()
	s := begin(t, p, Work{Seq: seq, Tokens: make([]int32, n)})
	for layer, err := range s.Layers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, rows := range []*ggml.Tensor{layer.Rows(0).K, layer.Rows(0).V} {
			for _, c := range s.Cells() {
				rows.Memset(0xFF, c*rows.Nb(1), rows.Nb(1))
			}
		}
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A slot may have been fetched into for a step that never came, with rows of another shape than its
// visits before and after: their bytes lie elsewhere.
func TestNaNRowsFetchedAheadReachNoOtherShape(t *testing.T) {
	o := uniform(Offloaded, 4, 256)
	o.ForcedCopies = true
	o.Layers[1] = Shape{Heads: 1, KeyDim: 4, ValueDim: 4} // the first of slot 1; the others there are small
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	ill, a, b := l.pool.NewSeq(), l.seq(), l.seq()
	l.grow(growth{a, 120})
	growNaN(t, l.pool, ill, 100)
	growNaN(t, l.pool, ill, 1) // ends with layer 1 in slot 1
	l.grow(growth{b, 1}, growth{a, 1})
}

// Nor do outputs of real kernels, of which those for many tokens are not safe.
func TestOutputsAreFiniteInReusedMemory(t *testing.T) {
	devices := []struct {
		name string
		open func(rapid.TB) *ggml.Backend
		n    int
	}{{"cpu", onCPU, 100}, {"vulkan", onVulkan, 40}}
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			for _, policy := range []Policy{Static, Offloaded} {
				o := rigOptions(policy, 3, ggml.F32)
				o.ForcedCopies = true
				r := newRig(t, d.open(t), o)
				r.pool.hooks.freed = poison
				s := r.pool.NewSeq()
				r.grow(growth{s, 2 * d.n})
				for _, region := range s.tree.regions {
					if region != nil {
						region.fill(0xFF, 0, 2*d.n)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = r.pool.NewSeq()
				r.steps = [][]byte{r.grow(growth{s, d.n}), r.grow(growth{s, 1})}
				finite(t, r.steps)
				r.close()
			}
		})
	}
}

func TestPoisonIsNaNInEveryType(t *testing.T) {
	for _, typ := range types {
		row := make([]byte, typ.RowSize(32))
		for i := range row {
			row[i] = 0xFF
		}
		onCPU(t) // loads the library
		if f := ggml.Dequantize(typ, row, 32)[5]; !math.IsNaN(float64(f)) {
			t.Errorf("%v: bytes of 0xFF are %v; want NaN", typ, f)
		}
	}
}
