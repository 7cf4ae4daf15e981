package disk

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// A tree that is settled has no memory, and its rows are in the file. Layers may have keys alone.
func TestASettledTreeHasNoMemory(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		s, m := open(t, o), &memory{}
		layouts := []tier.Layout{{Heads: 1, KeyBytes: 100}, {Heads: 1, KeyBytes: 8192}, {Heads: 2, KeyBytes: 4, ValueBytes: 8}}
		k := s.New(layouts, m.alloc)
		defer func() { _ = k.Close() }()
		if err := k.Reserve(t.Context(), tier.BlockCells); err != nil {
			t.Fatal(err)
		}
		var want []*tiertest.Memory
		for l, layout := range layouts {
			rows := tiertest.NewMemory(layout, tier.BlockCells)
			for c := range rows.Cells {
				row := make([]byte, layout.RowBytes())
				for i := range row {
					row[i] = byte(rand.Uint32())
				}
				rows.SetRow(c, row)
			}
			if err := k.Store(t.Context(), l, []tier.Run{{N: tier.BlockCells}}, rows); err != nil {
				t.Fatal(err)
			}
			want = append(want, rows)
		}
		for range 2 { // also after they were read
			if err := k.(tier.Settler).Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if u := k.Usage(); u.Host != 0 || u.Disk == 0 || m.open.Load() != 0 {
				t.Fatalf("%+v and %d buffers of a settled tree", u, m.open.Load())
			}
			for l, layout := range layouts {
				got := tiertest.NewMemory(layout, tier.BlockCells)
				if err := k.Fetch(t.Context(), l, tier.Run{N: tier.BlockCells}, got); err != nil {
					t.Fatal(err)
				}
				for c := range got.Cells {
					if !bytes.Equal(got.Row(c), want[l].Row(c)) {
						t.Fatalf("layer %d: cell %d differs", l, c)
					}
				}
			}
		}
	})
}
