package stack_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// BenchmarkSeal shares 31 blocks of a model with the rows of SmolLM2: what the first decoding step
// of a conversation pays whose prompt of 8,000 tokens another one has computed. Bytes are those of one
// tree.
func BenchmarkSeal(b *testing.B) {
	const cells = 31 * tier.BlockCells
	wide := tier.Layout{Heads: 3, KeyBytes: 128, ValueBytes: 128}
	layouts, m := slices.Repeat([]tier.Layout{wide}, 30), &memory{left: 4 * plenty}
	rows := tiertest.NewMemory(wide, cells)
	b.SetBytes(30 * cells * wide.RowBytes())
	for b.Loop() {
		b.StopTimer()
		s := stack.New(host.NewExact, nil, -1)
		var trees []tier.Tier
		for range 2 {
			k := s.New(layouts, m.alloc)
			if err := k.Reserve(b.Context(), cells); err != nil {
				b.Fatal(err)
			}
			for l := range layouts {
				rows.Fill(byte(l))
				if err := k.Store(b.Context(), l, []tier.Run{{N: cells}}, rows); err != nil {
					b.Fatal(err)
				}
			}
			trees = append(trees, k)
		}
		if err := trees[0].Seal(b.Context(), cells); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := trees[1].Seal(b.Context(), cells); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		for _, k := range trees {
			_ = k.Close()
		}
		b.StartTimer()
	}
}
