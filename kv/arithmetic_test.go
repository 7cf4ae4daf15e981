package kv

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// These are transformers' tests of its caches' arithmetic: one head of one value, with and without
// offload. The values are the keys; tokens count up.

// arithmetic returns a ledger of two layers, the second ten times the first.
func arithmetic(t *testing.T, policy Policy, cells int, value ...float32) *ledger {
	t.Helper()
	o := uniform(policy, 2, cells)
	o.ForcedCopies, o.Slots = true, 1 // so that both layers move
	l := newLedger(t, ownCPU(t, 0), o)
	t.Cleanup(l.close)
	l.value = func(token int32, layer int) float32 { return value[token-1] * []float32{1, 10}[layer] }
	return l
}

func wantKept(t *testing.T, l *ledger, s *Seq, want ...float32) {
	t.Helper()
	if diff := cmp.Diff(l.kept(s, 0, want), want); diff != "" {
		t.Errorf("layer 0 (-got +want):\n%s", diff)
	}
	for i := range want {
		want[i] *= 10
	}
	if diff := cmp.Diff(l.kept(s, 1, want), want); diff != "" {
		t.Errorf("layer 1 (-got +want):\n%s", diff)
	}
}

func TestArithmeticDynamicGrows(t *testing.T) {
	for _, policy := range []Policy{Dynamic, Offloaded} {
		t.Run(policy.String(), func(t *testing.T) {
			l := arithmetic(t, policy, 100, 1, 2, 3, 4)
			s := l.seq()
			l.grow(growth{s, 2})
			wantKept(t, l, s, 1, 2)
			l.grow(growth{s, 1})
			wantKept(t, l, s, 1, 2, 3)
			l.grow(growth{s, 1})
			wantKept(t, l, s, 1, 2, 3, 4)
		})
	}
}

func TestArithmeticStaticFillsAndEnds(t *testing.T) {
	for _, policy := range []Policy{Static, OffloadedStatic} {
		t.Run(policy.String(), func(t *testing.T) {
			l := arithmetic(t, policy, 4, 1, 2, 3, 4, 5, 6)
			s := l.seq()
			l.during = func(_ *Step, layer *Layer) {
				k := floats(layer.Rows(0).K)
				for c := 4; c < len(k); c++ {
					if k[c] != 0 {
						t.Fatalf("cell %d is %v; want 0", c, k[c])
					}
				}
			}
			l.grow(growth{s, 2})
			wantKept(t, l, s, 1, 2)
			l.grow(growth{s, 1})
			wantKept(t, l, s, 1, 2, 3)
			l.grow(growth{s, 1})
			wantKept(t, l, s, 1, 2, 3, 4)
			if err := l.step(t.Context(), 3, growth{s, 1}); !errors.Is(err, ErrFull) {
				t.Errorf("a fifth token: %v; want %v", err, ErrFull)
			}
			wantKept(t, l, s, 1, 2, 3, 4)
			l.truncate(s, 3)
			l.grow(growth{s, 1}) // the sixth that was made
			wantKept(t, l, s, 1, 2, 3, 6)
		})
	}
}
