package host

import (
	"context"
	"errors"
	"fmt"
	"hash"

	"github.com/seed4d217819/ebb/tier"
)

// Drop gives up cells.
func (t *Tier) Drop(cells tier.Run) { t.replace(outside(t.views, cells)) }

// Digest returns the digest of a block.
func (t *Tier) Digest(ctx context.Context, block int) (sum tier.Digest, err error) {
	cells := tier.Run{Start: block * tier.BlockCells, N: tier.BlockCells}
	in := inside(t.views, cells)
	if len(in) != 1 || in[0].N != cells.N {
		return sum, fmt.Errorf("host: the digest of the cells %v: they are not held", cells)
	}
	return tier.DigestOf(len(t.layouts), func(layer int, to hash.Hash) error {
		l := t.layouts[layer]
		for _, p := range parts {
			rows, stride := in[0].part(l, layer, p, cells.Start)
			for head := range int64(l.Heads) {
				_, _ = to.Write(rows[head*stride:][:int64(cells.N)*l.Piece(p)]) // never fails
			}
		}
		return ctx.Err()
	})
}

// Borrow makes cells refer to extents of another tree.
func (t *Tier) Borrow(ctx context.Context, from tier.Place, cells tier.Run) error {
	other, ok := from.(*Tier)
	if !ok {
		return errors.New("host: cells can be borrowed from a tree in host memory alone")
	}
	if !other.holds(cells) {
		return fmt.Errorf("host: the other tree does not hold the cells %v", cells)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rest, err := t.border(ctx, outside(t.views, cells))
	if err != nil {
		return fmt.Errorf("host: memory for the cells beside %v: %w", cells, err)
	}
	t.replace(append(rest, inside(other.views, cells)...))
	return nil
}

// border allocates what the tree needs for the cells that it keeps of extents of its own, so that
// nothing has happened if there is no memory: it returns views of new extents instead, with the rows.
func (t *Tier) border(ctx context.Context, kept []view) (_ []view, err error) {
	var added []view
	for i, v := range kept {
		if v.Run == v.extent.Run || len(v.extent.holders) > 1 || !t.cut(v) {
			continue
		}
		small, err := t.grow(ctx, v.Run)
		if err != nil {
			closeViews(added)
			return nil, err
		}
		small.extent.copyFrom(v.extent, v.Run, t.layouts)
		kept[i], added = small, append(added, small)
	}
	return kept, nil
}

// cut reports whether the tree refers to more cells of a view's extent now.
func (t *Tier) cut(v view) bool {
	n := 0
	for _, old := range t.views {
		if old.extent == v.extent {
			n += old.N
		}
	}
	return n > v.N
}

// Shared returns how many of some cells other trees refer to, too.
func (t *Tier) Shared(cells tier.Run) (n int) {
	for _, r := range t.shared(cells) {
		n += r.N
	}
	return n
}

// shared returns the cells of a run that other trees refer to, too, in whole blocks.
func (t *Tier) shared(cells tier.Run) (runs []tier.Run) {
	for _, v := range inside(t.views, cells) {
		for b := v.Start; b < v.End(); b += tier.BlockCells {
			if !v.extent.heldByOthers(t, b) {
				continue
			}
			if n := len(runs); n > 0 && runs[n-1].End() == b {
				runs[n-1].N += tier.BlockCells
				continue
			}
			runs = append(runs, tier.Run{Start: b, N: tier.BlockCells})
		}
	}
	return runs
}

// heldByOthers reports whether another tree than this one refers to a cell.
func (e *extent) heldByOthers(t *Tier, cell int) bool {
	for _, other := range e.holders {
		if other == t {
			continue
		}
		for _, v := range other.views {
			if v.extent == e && v.Start <= cell && cell < v.End() {
				return true
			}
		}
	}
	return false
}

// Own gives the tree extents of its own for cells that other trees refer to, too.
func (t *Tier) Own(ctx context.Context, cells tier.Run) error {
	var added []view
	for _, r := range t.shared(cells) {
		more, err := t.growAll(ctx, r)
		added = append(added, more...)
		if err != nil {
			closeViews(added)
			return fmt.Errorf("host: memory for a copy of the cells %v: %w", r, err)
		}
	}
	if len(added) == 0 {
		return nil
	}
	views := t.views
	for _, own := range added {
		for _, v := range inside(t.views, own.Run) {
			own.extent.copyFrom(v.extent, v.Run, t.layouts)
		}
		views = outside(views, own.Run)
	}
	t.replace(append(views, added...))
	return nil
}
