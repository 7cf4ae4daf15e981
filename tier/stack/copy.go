package stack

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Fetch copies cells of a layer into dst. While the lower place reads, the upper one copies.
func (t *Tier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	upper, lower, err := t.divide(layer, cells)
	switch {
	case err != nil:
		return err
	case lower.N == 0 && upper.N == 0:
		return ctx.Err()
	case lower.N == 0:
		return t.upper.Fetch(ctx, layer, upper, dst)
	case upper.N == 0:
		return t.lower.Fetch(ctx, layer, lower, dst)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finish := t.lower.StartFetch(ctx, layer, lower, dst)
	err = t.upper.Fetch(ctx, layer, upper, dst)
	if err != nil {
		cancel() // the reads end early, and only the first error counts
		_ = finish()
		return err
	}
	return finish()
}

// Store keeps the cells of runs, read from src. Sealed blocks among them are sealed no more, nor are
// those behind.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	if err := t.open(ctx, runs); err != nil {
		return err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	upper, lower, err := t.divideAll(layer, runs)
	if err != nil {
		return err
	}
	if len(upper) > 0 {
		if err := t.upper.Store(ctx, layer, upper, src); err != nil {
			return err
		}
	}
	if len(lower) > 0 {
		return t.lower.Store(ctx, layer, lower, src)
	}
	return ctx.Err()
}

// divide returns which of some cells lie in each place.
func (t *Tier) divide(layer int, cells tier.Run) (upper, lower tier.Run, err error) {
	if cells.End() > t.cells {
		return upper, lower, fmt.Errorf("stack: layer %d: cells %v are past the %d reserved", layer, cells, t.cells)
	}
	upper = tier.Run{Start: cells.Start, N: max(0, min(cells.End(), t.split)-cells.Start)}
	first := max(cells.Start, t.split)
	lower = tier.Run{Start: first, N: max(0, cells.End()-first)}
	return upper, lower, nil
}

// divideAll returns which cells of runs lie in each place.
func (t *Tier) divideAll(layer int, runs []tier.Run) (upper, lower []tier.Run, err error) {
	above, below := true, true // all of them
	for _, r := range runs {
		u, l, err := t.divide(layer, r)
		if err != nil {
			return nil, nil, err
		}
		above, below = above && l.N == 0, below && u.N == 0
	}
	switch {
	case above:
		return runs, nil, nil
	case below:
		return nil, runs, nil
	}
	for _, r := range runs {
		u, l, _ := t.divide(layer, r) // checked above
		upper, lower = append(upper, u), append(lower, l)
	}
	empty := func(r tier.Run) bool { return r.N == 0 }
	return slices.DeleteFunc(upper, empty), slices.DeleteFunc(lower, empty), nil
}

// moveDown moves the cells from a block on from the upper place to the lower one.
func (t *Tier) moveDown(ctx context.Context, from int) error {
	cells := tier.Run{Start: from, N: t.split - from}
	if err := t.lower.Hold(ctx, cells); err != nil {
		return err
	}
	if err := t.copyDown(ctx, cells); err != nil {
		t.lower.Drop(cells)
		return err
	}
	t.upper.Drop(cells)
	t.split = from
	return nil
}

// copyDown copies cells from the upper place to the lower one, block by block.
func (t *Tier) copyDown(ctx context.Context, cells tier.Run) error {
	var widest int64
	for _, l := range t.layouts {
		widest = max(widest, l.RowBytes())
	}
	buffer, err := t.memory(widest * tier.BlockCells)
	if err != nil {
		return err
	}
	defer buffer.Close()
	for i, l := range t.layouts {
		for cell := cells.Start; cell < cells.End(); cell += tier.BlockCells {
			block := rows{l, buffer.Bytes()[:l.RowBytes()*tier.BlockCells], cell}
			these := tier.Run{Start: cell, N: tier.BlockCells}
			if err := t.upper.Fetch(ctx, i, these, block); err != nil {
				return err
			}
			if err := t.lower.Store(ctx, i, []tier.Run{these}, block); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows is a memory with the rows of one block.
type rows struct {
	tier.Layout
	bytes []byte
	first int // cell
}

// Write copies cells of every head to the block.
func (r rows) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	to, apart := r.Part(r.bytes, tier.BlockCells, p, cell-r.first)
	for h := range int64(r.Heads) {
		copy(to[h*apart:][:int64(n)*r.Piece(p)], buf[h*stride:])
	}
}

// Read copies cells of every head from the block.
func (r rows) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	from, apart := r.Part(r.bytes, tier.BlockCells, p, cell-r.first)
	for h := range int64(r.Heads) {
		copy(buf[h*stride:], from[h*apart:][:int64(n)*r.Piece(p)])
	}
}
