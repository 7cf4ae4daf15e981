// Package stack makes the tiers of a cache of one place for K/V rows, or of two: the first cells of a
// sequence tree lie in the upper one, as many as its budget allows, and all later ones in the lower
// one.
//
// Every layer has the same share in each place, so that all fetches take about as long. When the
// upper place cannot give more memory, because the budget is used up or an allocation fails, the
// tree grows in the lower one: nothing moves, and no step fails.
//
// Trees that begin with the same rows hold them once. When blocks of a tree are sealed, the stack
// compares them, by their SHA-256, with the sealed blocks of its other trees. The tree then refers to
// those that it has in common with another one, in the faster place of the two, and gives its own
// back. When a tree stores to such a block again, it gets a copy first. Only bytes decide, so that
// sharing changes no result.
package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/tier"
)

// Stack makes tiers that share the budget of the upper place, and blocks with the same rows.
type Stack struct {
	upper, lower tier.Maker
	budget       int64 // bytes that all trees together may take of the upper place; below 0: no limit

	mu    sync.Mutex // held while a tree takes room, shares it or gives it back
	trees []*Tier    // open, the oldest first
}

// New returns a stack of two places, whose makers return tiers that are [tier.Place]s, too. The upper
// one must grow by no more than it is asked for. bytes bounds what all trees together take of the
// upper place; 0 is nothing, and a negative number is no bound. The lower one may be nil: then the
// upper place alone has all rows.
func New(upper, lower tier.Maker, bytes int64) *Stack {
	return &Stack{upper: upper, lower: lower, budget: bytes}
}

// New returns an empty tier. It is a [tier.Maker].
func (s *Stack) New(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
	t := &Tier{stack: s, layouts: layouts, memory: memory, upper: place(s.upper(layouts, memory))}
	if s.lower != nil {
		t.lower = place(s.lower(layouts, memory))
	}
	for _, l := range layouts {
		t.row += l.RowBytes()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees = append(s.trees, t)
	return t
}

// place returns a tier as the place that it is.
func place(t tier.Tier) tier.Place {
	if p, ok := t.(tier.Place); ok {
		return p
	}
	return unfit{tier: t}
}

// unfit stands for a tier that is no place. It never has room.
type unfit struct {
	tier.Place
	tier tier.Tier
}

func (u unfit) Hold(context.Context, tier.Run) error {
	return fmt.Errorf("stack: a %T cannot hold a part of a tree: want a tier that is a tier.Place, too", u.tier)
}

func (u unfit) Drop(tier.Run)     {}
func (u unfit) Usage() tier.Usage { return u.tier.Usage() }
func (u unfit) Close() error      { return u.tier.Close() }

// left returns how many bytes trees may still take of the upper place. s.mu is held.
func (s *Stack) left() int64 {
	n := s.budget
	for _, t := range s.trees {
		u := t.upper.Usage()
		n -= u.Host + u.Disk
	}
	return max(n, 0)
}

// full says that the budget is used up.
func (s *Stack) full() error {
	return fmt.Errorf("stack: %w: the upper place may take %s", tier.ErrFull, bytesize.Format(s.budget))
}

// affordable returns how many of some cells, in whole blocks, the budget allows.
func (s *Stack) affordable(cells int, row int64) int {
	cells = whole(cells)
	if s.budget >= 0 {
		cells = int(min(int64(cells), s.left()/row/tier.BlockCells*tier.BlockCells))
	}
	return cells
}

// whole rounds cells up to whole blocks.
func whole(cells int) int {
	return (cells + tier.BlockCells - 1) / tier.BlockCells * tier.BlockCells
}

// Tier is a [tier.Tier] in two places.
type Tier struct {
	stack        *Stack
	layouts      []tier.Layout
	memory       tier.Allocator
	upper, lower tier.Place // lower: nil if there is none
	row          int64      // bytes of a cell in all layers

	mu      sync.RWMutex  // held for reading while rows are copied, and for writing while they move
	cells   int           // reserved in all
	split   int           // cells that lie in the upper place, in whole blocks
	sealed  int           // blocks
	digests []tier.Digest // of the first blocks, as far as they have been compared
}

var (
	_ tier.Tier    = (*Tier)(nil)
	_ tier.Settler = (*Tier)(nil)
	_ tier.Sharer  = (*Tier)(nil)
)

// Reserve makes room in the upper place as long as that has some, and then in the lower one. A tree
// with cells in the lower place does not grow in the upper one any more.
func (t *Tier) Reserve(ctx context.Context, cells int) error {
	if cells <= t.cells {
		return nil
	}
	t.stack.mu.Lock()
	defer t.stack.mu.Unlock()
	before := t.split
	var refused error
	if t.cells <= t.split {
		refused = t.grow(ctx, cells)
	}
	err := ctx.Err()
	if err == nil && cells > t.split {
		err = t.below(ctx, cells, refused)
	}
	if err != nil {
		t.upper.Drop(tier.Run{Start: before, N: t.split - before})
		t.split = before
		return err
	}
	t.cells = max(cells, t.split)
	return nil
}

// grow makes the upper place larger: twice as large, if that is enough and can be had, so that a
// tree which grows token by token takes memory a few times. It returns why it could not.
func (t *Tier) grow(ctx context.Context, cells int) (refused error) {
	for _, target := range slices.Compact([]int{max(cells, 2*t.split), cells}) {
		more := t.stack.affordable(target-t.split, t.row)
		if more == 0 {
			return t.stack.full()
		}
		if refused = t.upper.Hold(ctx, tier.Run{Start: t.split, N: more}); refused == nil {
			t.split += more
			return nil
		}
	}
	return refused
}

// below makes room in the lower place. Without one it returns why the upper place has refused.
func (t *Tier) below(ctx context.Context, cells int, refused error) error {
	if t.lower != nil {
		return t.lower.Hold(ctx, tier.Run{Start: t.split, N: whole(cells) - t.split})
	}
	if refused == nil {
		refused = t.stack.full()
	}
	return refused
}

// Usage returns the bytes held in both places. What trees share counts for one of them.
func (t *Tier) Usage() tier.Usage {
	u := t.upper.Usage()
	if t.lower != nil {
		u = u.Plus(t.lower.Usage())
	}
	return u
}

// Settle settles both places, if they have something to settle.
func (t *Tier) Settle(ctx context.Context) error {
	var errs []error
	for _, p := range [...]tier.Place{t.upper, t.lower} {
		if s, ok := p.(tier.Settler); ok {
			errs = append(errs, s.Settle(ctx))
		}
	}
	return errors.Join(errs...)
}

// Close gives everything back that no other tree shares.
func (t *Tier) Close() error {
	t.stack.mu.Lock()
	defer t.stack.mu.Unlock()
	t.stack.trees = slices.DeleteFunc(t.stack.trees, func(other *Tier) bool { return other == t })
	err := t.upper.Close()
	if t.lower != nil {
		err = errors.Join(err, t.lower.Close())
	}
	t.cells, t.split, t.sealed, t.digests = 0, 0, 0, nil
	return err
}
