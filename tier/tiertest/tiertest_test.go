package tiertest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// memories is the simplest tier there is: one memory a layer.
type memories struct {
	layouts []tier.Layout
	layers  []*tiertest.Memory
	cells   int
}

func (m *memories) Reserve(ctx context.Context, cells int) error {
	if cells <= m.cells {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for l, layout := range m.layouts {
		grown := tiertest.NewMemory(layout, cells)
		if m.cells > 0 {
			for c := range m.cells {
				grown.SetRow(c, m.layers[l].Row(c))
			}
			m.layers[l] = grown
			continue
		}
		m.layers = append(m.layers, grown)
	}
	m.cells = cells
	return nil
}

func (m *memories) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	return m.pieces(ctx, layer, []tier.Run{cells}, func(p tier.Part, c int, kept [][]byte) {
		buf := slices.Concat(kept...)
		dst.Write(p, c, 1, buf, m.layouts[layer].Piece(p))
	})
}

func (m *memories) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	return m.pieces(ctx, layer, runs, func(p tier.Part, c int, kept [][]byte) {
		buf := slices.Concat(kept...)
		src.Read(p, c, 1, buf, m.layouts[layer].Piece(p))
		for _, piece := range kept {
			buf = buf[copy(piece, buf):]
		}
	})
}

// pieces calls do with what is kept of each cell and part, head by head.
func (m *memories) pieces(ctx context.Context, layer int, runs []tier.Run, do func(p tier.Part, cell int, kept [][]byte)) error {
	for _, r := range runs {
		if r.End() > m.cells {
			return fmt.Errorf("memories: cells %v of %d", r, m.cells)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for c := r.Start; c < r.End(); c++ {
			for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
				var kept [][]byte
				for h := range m.layouts[layer].Heads {
					kept = append(kept, m.layers[layer].Piece(p, h, c))
				}
				do(p, c, kept)
			}
		}
	}
	return nil
}

func (m *memories) Seal(ctx context.Context, _ int) error { return ctx.Err() }

func (m *memories) Usage() (u tier.Usage) {
	for _, l := range m.layers {
		u.Host += l.Layout.RowBytes() * int64(l.Cells)
	}
	return u
}

func (m *memories) Close() error {
	m.layers, m.cells = nil, 0
	return nil
}

func TestTheSimplestTierPasses(t *testing.T) {
	tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return &memories{layouts: layouts} })
}
