//go:build amd64 && !windows

package product

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Plain reads nothing beside weights and activations, and writes nothing beside its result.
func TestPlainStaysWithinItsTensors(t *testing.T) {
	r := newRig(t, 1)
	for _, set := range plainISAs() {
		if set == isa.Go {
			continue
		}
		for _, typ := range plainTypes {
			rows, numbers := plainWeights(t, typ, 80, 7)
			for _, where := range []guard{unguarded, guardBehind, guardBefore} {
				for _, tokens := range []int{1, 2, 3, 4, 5, 6, 9} {
					m := r.machine(set, 1)
					m.guard = where
					x := normal(seeded(tokens), 80*tokens)
					y := Products{set}.Plain(m.graph, m.leaf(typ, rows, 80, 7), m.leaf(ggml.F32, bytesOf(x), 80, int64(tokens)))
					m.place(y, nil)
					const threads = 3
					for i := range threads {
						callOp(plainOp(set), seen(y), int32(i), threads)
					}
					for _, e := range m.ends {
						if slices.ContainsFunc(e.behind, func(b byte) bool { return b != canary }) {
							t.Errorf("%v, %v, %d tokens: wrote behind %s", set, typ, tokens, e.what)
						}
					}
					for i, v := range unsafe.Slice((*float32)(seen(y).data), y.Elements()) {
						if want := plainSum(numbers[i%7*80:][:80], x[i/7*80:][:80]); v != want {
							t.Errorf("%v, %v, %d tokens: result %d is %v; want %v", set, typ, tokens, i, v, want)
						}
					}
				}
			}
		}
	}
}
