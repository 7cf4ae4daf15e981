package stack

import (
	"context"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Seal says that the first blocks are final. The tree refers to the blocks of another tree of the stack
// from then on, as far as both begin with the same ones, and gives its own back. A tree that has none
// in common with another one pays for the digest of its first block, and one that is alone for none.
// Whatever goes wrong with sharing, the tree keeps its own blocks.
func (t *Tier) Seal(ctx context.Context, cells int) error {
	t.stack.mu.Lock()
	defer t.stack.mu.Unlock()
	blocks := min(cells, t.cells) / tier.BlockCells
	if err := t.unseal(ctx, blocks); err != nil {
		return err
	}
	t.sealed = blocks
	t.share(ctx)
	return ctx.Err()
}

// open unseals blocks that runs are about to be stored to.
func (t *Tier) open(ctx context.Context, runs []tier.Run) error {
	t.mu.RLock()
	first := t.sealed
	for _, r := range runs {
		if r.N > 0 {
			first = min(first, r.Start/tier.BlockCells)
		}
	}
	sealed := t.sealed
	t.mu.RUnlock()
	if first == sealed {
		return nil
	}
	t.stack.mu.Lock()
	defer t.stack.mu.Unlock()
	return t.unseal(ctx, first)
}

// unseal gives the tree room of its own for all sealed blocks from one on: in the upper place, or where
// that has no room for them, in the lower one.
func (t *Tier) unseal(ctx context.Context, from int) error {
	if from >= t.sealed {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first := from * tier.BlockCells
	if first < t.split {
		if err := t.ownUpper(ctx, first); err != nil {
			return err
		}
	}
	if t.lower != nil {
		first = max(first, t.split)
		if err := t.lower.Own(ctx, tier.Run{Start: first, N: max(0, whole(t.cells)-first)}); err != nil {
			return err
		}
	}
	t.sealed, t.digests = from, t.digests[:min(from, len(t.digests))]
	return nil
}

// ownUpper copies what is shared of the upper place from a cell on.
func (t *Tier) ownUpper(ctx context.Context, first int) error {
	cells := tier.Run{Start: first, N: t.split - first}
	shared := t.upper.Shared(cells)
	if shared == 0 {
		return nil
	}
	err := t.stack.full()
	if t.stack.affordable(shared, t.row) >= shared {
		err = t.upper.Own(ctx, cells)
	}
	if err != nil && t.lower != nil && ctx.Err() == nil {
		return t.moveDown(ctx, first)
	}
	return err
}

// loan is cells that a tree will share with another one, in a place.
type loan struct {
	from  *Tier
	upper bool
	cells tier.Run
}

// share makes the tree refer to what it has in common with others.
func (t *Tier) share(ctx context.Context) {
	for _, l := range t.loans(ctx) {
		if !l.upper {
			if t.lower.Borrow(ctx, l.from.lower, l.cells) != nil {
				return
			}
			continue
		}
		if t.upper.Borrow(ctx, l.from.upper, l.cells) != nil {
			return
		}
		if end := l.cells.End(); end > t.split {
			t.lower.Drop(tier.Run{Start: t.split, N: end - t.split})
			t.split = end
		}
	}
}

// loans returns what the tree can share: of each block that another tree has, too, the one in the
// fastest place, and among those of one place that of the oldest tree.
func (t *Tier) loans(ctx context.Context) (loans []loan) {
	var alike []*Tier // trees that begin with the same blocks
	for _, other := range t.stack.trees {
		if other != t && slices.Equal(other.layouts, t.layouts) {
			alike = append(alike, other)
		}
	}
	for b := range t.sealed {
		alike = slices.DeleteFunc(alike, func(other *Tier) bool { return b >= other.sealed || !t.same(ctx, other, b) })
		from, upper := holder(alike, b)
		if from == nil {
			break
		}
		if !upper && t.hasAbove(b) {
			continue // the other tree will find it here
		}
		cells := tier.Run{Start: b * tier.BlockCells, N: tier.BlockCells}
		if n := len(loans); n > 0 && loans[n-1].from == from && loans[n-1].upper == upper && loans[n-1].cells.End() == cells.Start {
			loans[n-1].cells.N += cells.N
			continue
		}
		loans = append(loans, loan{from, upper, cells})
	}
	return loans
}

// holder returns which of some trees a block is borrowed from, and whether in the upper place.
func holder(trees []*Tier, b int) (from *Tier, upper bool) {
	for _, t := range trees {
		if t.hasAbove(b) {
			return t, true
		}
	}
	if len(trees) == 0 {
		return nil, false
	}
	return trees[0], false
}

// hasAbove reports whether a block lies in the upper place.
func (t *Tier) hasAbove(b int) bool { return b*tier.BlockCells < t.split }

// Common returns how many cells of sealed blocks, from the first on, have the same digests in a tier of
// the same stack.
func (t *Tier) Common(other tier.Tier) int {
	o, ok := other.(*Tier)
	if !ok || o.stack != t.stack || !slices.Equal(o.layouts, t.layouts) {
		return 0
	}
	t.stack.mu.Lock()
	defer t.stack.mu.Unlock()
	n := 0
	for n < min(len(t.digests), len(o.digests), t.sealed, o.sealed) && t.digests[n] == o.digests[n] {
		n++
	}
	return n * tier.BlockCells
}

// same reports whether two trees whose blocks before are the same have the same block.
func (t *Tier) same(ctx context.Context, other *Tier, b int) bool {
	mine, err := t.digest(ctx, b)
	if err != nil {
		return false
	}
	others, err := other.digest(ctx, b)
	return err == nil && mine == others
}

// digest returns the digest of a sealed block. Those before it have been computed.
func (t *Tier) digest(ctx context.Context, b int) (tier.Digest, error) {
	if b < len(t.digests) {
		return t.digests[b], nil
	}
	at := t.lower
	if t.hasAbove(b) {
		at = t.upper
	}
	sum, err := at.Digest(ctx, b)
	if err == nil {
		t.digests = append(t.digests, sum)
	}
	return sum, err
}
