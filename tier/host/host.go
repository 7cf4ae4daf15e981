// Package host keeps K/V rows in memory of the host: pinned memory of a device, or ordinary memory
// where there is none.
//
// Rows lie in extents: runs of cells of all layers, each layer head-major in itself. A growing tree
// takes new extents and moves nothing. Trees whose first cells hold the same rows can refer to the
// same extents: package tier/stack finds such trees.
package host

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/tier"
)

// Tier is a [tier.Tier] and a [tier.Place] in host memory.
type Tier struct {
	layouts []tier.Layout
	alloc   tier.Allocator
	exact   bool // it grows by what is asked for, and not by doubling
	bytes   atomic.Int64

	mu    sync.RWMutex // held for reading while rows are copied, and for writing while views change
	views []view       // in the order of their cells
}

var (
	_ tier.Tier  = (*Tier)(nil)
	_ tier.Place = (*Tier)(nil)
)

// New returns an empty tier for layers of these layouts.
func New(layouts []tier.Layout, alloc tier.Allocator) tier.Tier {
	return &Tier{layouts: layouts, alloc: alloc}
}

// NewExact returns an empty tier that takes no more memory than is asked for, in whole blocks: for
// owners that have a budget and grow in large steps.
func NewExact(layouts []tier.Layout, alloc tier.Allocator) tier.Tier {
	return &Tier{layouts: layouts, alloc: alloc, exact: true}
}

// cells returns how many cells, from the first on, there is room for.
func (t *Tier) cells() (end int) {
	for _, v := range t.views {
		if v.Start == end {
			end = v.End()
		}
	}
	return end
}

// Reserve makes room for cells in whole extents. A tier that grows becomes at least twice as large.
// One call adds one extent, or several if a buffer cannot be that large.
func (t *Tier) Reserve(ctx context.Context, cells int) error {
	have := t.cells()
	target := cells
	if !t.exact {
		target = max(cells, 2*have)
	}
	var added []view
	for end := have; end < cells; {
		v, err := t.grow(ctx, tier.Run{Start: end, N: target - end})
		if err != nil {
			closeViews(added)
			return fmt.Errorf("host: reserve %d cells: %w", cells, err)
		}
		added = append(added, v)
		end = v.End()
	}
	t.insert(added)
	return nil
}

// Hold makes room for the cells of a run that have none.
func (t *Tier) Hold(ctx context.Context, cells tier.Run) error {
	var added []view
	for _, gap := range t.gaps(cells) {
		more, err := t.growAll(ctx, gap)
		added = append(added, more...)
		if err != nil {
			closeViews(added)
			return fmt.Errorf("host: room for the cells %v: %w", cells, err)
		}
	}
	t.insert(added)
	return nil
}

// Fetch copies cells of a layer to dst: one 2-D copy for each part and extent.
func (t *Tier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	return t.each(ctx, layer, cells, dst.Write)
}

// StartFetch returns a Fetch: only its caller copies.
func (t *Tier) StartFetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) func() error {
	return func() error { return t.Fetch(ctx, layer, cells, dst) }
}

// Store copies the cells of runs from src.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	for _, r := range runs {
		if err := t.each(ctx, layer, r, src.Read); err != nil {
			return err
		}
	}
	return nil
}

// each calls move for every piece of a run that lies in one extent.
func (t *Tier) each(ctx context.Context, layer int, r tier.Run, move func(p tier.Part, cell, n int, buf []byte, stride int64)) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r.N > 0 && !t.holds(r) {
		return fmt.Errorf("host: layer %d: cells %v are past the %d reserved", layer, r, t.cells())
	}
	for _, v := range t.views {
		in := v.overlap(r)
		if in.N == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, p := range parts {
			buf, stride := v.part(t.layouts[layer], layer, p, in.Start)
			move(p, in.Start, in.N, buf, stride)
		}
	}
	return nil
}

// Seal does nothing: package tier/stack finds what trees have in common.
func (t *Tier) Seal(ctx context.Context, _ int) error { return ctx.Err() }

// Usage returns the memory held, whether or not its cells are used. An extent to which several trees
// refer counts for the one that has referred to it for longest.
func (t *Tier) Usage() tier.Usage { return tier.Usage{Host: t.bytes.Load()} }

// Close frees the memory to which no other tree refers.
func (t *Tier) Close() error {
	t.replace(nil)
	return nil
}
