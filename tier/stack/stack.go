// Package stack puts one place for K/V rows on top of another: the first cells of a sequence tree
// lie in the upper one, as many as its budget allows, and all later ones in the lower one.
//
// Every layer has the same share in each place, so that all fetches take about as long. When the
// upper place cannot give more memory, because the budget is used up or an allocation fails, the
// tree grows in the lower one: nothing moves, and no step fails.
package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed4d217819/ebb/tier"
)

// Stack makes tiers that share the budget of the upper place.
type Stack struct {
	upper, lower tier.Maker

	mu   sync.Mutex
	left int64 // bytes that trees may still take of the upper place; below 0: no limit
}

// New returns a stack of two places. The upper one must grow by no more than it is asked for. bytes
// bounds what all trees together take of the upper place; 0 is nothing, and a negative number is no
// bound.
func New(upper, lower tier.Maker, bytes int64) *Stack {
	return &Stack{upper: upper, lower: lower, left: bytes}
}

// New returns an empty tier. It is a [tier.Maker].
func (s *Stack) New(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
	t := &Tier{stack: s, upper: s.upper(layouts, memory), lower: s.lower(layouts, memory)}
	for _, l := range layouts {
		t.row += l.RowBytes()
	}
	return t
}

// take books the rows of as many of some cells as the budget allows, in whole blocks.
func (s *Stack) take(cells int, row int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells = (cells + tier.BlockCells - 1) / tier.BlockCells * tier.BlockCells
	if s.left >= 0 {
		cells = int(min(int64(cells), s.left/row/tier.BlockCells*tier.BlockCells))
		s.left -= int64(cells) * row
	}
	return cells
}

// give returns what was taken.
func (s *Stack) give(cells int, row int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left >= 0 {
		s.left += int64(cells) * row
	}
}

// Tier is a [tier.Tier] in two places.
type Tier struct {
	stack        *Stack
	upper, lower tier.Tier
	row          int64 // bytes of a cell in all layers
	cells        int   // reserved in all
	split        int   // cells that lie in the upper place
	full         bool  // the upper place gives no more
}

var _ tier.Tier = (*Tier)(nil)

// Reserve makes room in the upper place as long as that has some, and then in the lower one.
func (t *Tier) Reserve(ctx context.Context, cells int) error {
	if cells <= t.cells {
		return nil
	}
	if !t.full {
		t.grow(ctx, cells)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if cells > t.split {
		if err := t.lower.Reserve(ctx, cells-t.split); err != nil {
			return err
		}
	}
	t.cells = max(cells, t.split)
	return nil
}

// grow makes the upper place larger: twice as large, if that is enough and can be had, so that a
// tree which grows token by token takes memory a few times.
func (t *Tier) grow(ctx context.Context, cells int) {
	for _, target := range [...]int{max(cells, 2*t.split), cells} {
		more := t.stack.take(target-t.split, t.row)
		if more == 0 {
			break
		}
		if err := t.upper.Reserve(ctx, t.split+more); err != nil { // there is no memory: the tree grows in the lower place
			t.stack.give(more, t.row)
			continue
		}
		t.split += more
		break
	}
	t.full = t.split < cells && ctx.Err() == nil
}

// Fetch copies cells of a layer into dst.
func (t *Tier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	upper, lower, err := t.divide(layer, cells)
	if err != nil {
		return err
	}
	if lower.N > 0 {
		if err := t.lower.Fetch(ctx, layer, lower, shifted{dst, t.split}); err != nil {
			return err
		}
	}
	if upper.N > 0 {
		return t.upper.Fetch(ctx, layer, upper, dst)
	}
	return ctx.Err()
}

// divide returns which of some cells lie in each place, numbered as there.
func (t *Tier) divide(layer int, cells tier.Run) (upper, lower tier.Run, err error) {
	if cells.End() > t.cells {
		return upper, lower, fmt.Errorf("stack: layer %d: cells %v are past the %d reserved", layer, cells, t.cells)
	}
	upper = tier.Run{Start: cells.Start, N: max(0, min(cells.End(), t.split)-cells.Start)}
	first := max(cells.Start, t.split)
	lower = tier.Run{Start: first - t.split, N: max(0, cells.End()-first)}
	return upper, lower, nil
}

// Store keeps the cells of runs, read from src.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	var upper, lower []tier.Run
	for _, r := range runs {
		u, l, err := t.divide(layer, r)
		if err != nil {
			return err
		}
		if u.N > 0 {
			upper = append(upper, u)
		}
		if l.N > 0 {
			lower = append(lower, l)
		}
	}
	if len(upper) > 0 {
		if err := t.upper.Store(ctx, layer, upper, src); err != nil {
			return err
		}
	}
	if len(lower) > 0 {
		return t.lower.Store(ctx, layer, lower, shifted{src, t.split})
	}
	return ctx.Err()
}

// Usage returns the bytes held in both places.
func (t *Tier) Usage() tier.Usage { return t.upper.Usage().Plus(t.lower.Usage()) }

// Close gives everything back.
func (t *Tier) Close() error {
	err := errors.Join(t.upper.Close(), t.lower.Close())
	t.stack.give(t.split, t.row)
	t.cells, t.split, t.full = 0, 0, false
	return err
}

// shifted is a memory whose cells from by on are the lower place's from 0 on.
type shifted struct {
	tier.Memory
	by int
}

var _ tier.Addressable = shifted{}

func (s shifted) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	s.Memory.Write(p, cell+s.by, n, buf, stride)
}

func (s shifted) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	s.Memory.Read(p, cell+s.by, n, buf, stride)
}

// Address returns nil if the memory has no addresses.
func (s shifted) Address(p tier.Part, head, cell, n int) []byte {
	if m, ok := s.Memory.(tier.Addressable); ok {
		return m.Address(p, head, cell+s.by, n)
	}
	return nil
}
