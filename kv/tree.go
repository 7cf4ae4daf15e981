package kv

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed4d217819/ebb/tier"
)

// tree is the cells that a sequence and its forks share. Its fields are guarded by the pool, and by
// the mover while a step is open.
type tree struct {
	cells    []int32 // by cell: how many sequences, and the open step, hold it
	capacity int
	sealed   int    // cells [0, sealed) are those of all sequences' first tokens: see seal.go
	lowest   int    // no cell below is free
	high     int    // cells from here on are free
	seqs     []*Seq // open
	broken   error  // why its rows were lost when they were put in order; nil: they were not

	restoring atomic.Pointer[restoring] // brings its rows; nil: all are there. The movers look at it too

	epoch    uint64      // steps begun on this tree
	regions  []*region   // by layer; nil where the layer visits a slot
	rows     []tier.Tier // by device: of the layers that visit its slots; nil without any
	rings    []*ring     // by window: where rows are in the layers that have rings
	ringRows []*region   // by layer: the rows of a ring; nil in layers without
	past     []tier.Tier // by device: of the layers that have rings; nil without any
	pastSize int         // cells that past has room for at most; 0: all
	reserved int         // cells that rows has room for
	room     int         // cells that each region has room for, under the policy auto
	final    int         // cells that rows knows to be sealed
}

// reserve makes room for cells in every tier. After an error every tier still has the room that it
// had before.
func (t *tree) reserve(ctx context.Context, cells int) error {
	for i, tiers := range [...][]tier.Tier{t.rows, t.past} {
		some := cells
		if i == 1 && t.pastSize > 0 {
			some = t.pastSize // at once: tiers take more than they are asked for as they grow
		}
		for _, rows := range tiers {
			if rows == nil {
				continue
			}
			err := allocation(rows.Reserve(ctx, some))
			if err != nil && t.past != nil && t.pastSize == 0 {
				err = windowRowsError{err}
			}
			if err != nil {
				return err
			}
		}
	}
	t.reserved = cells
	return nil
}

// tiers goes through all tiers of the tree.
func (t *tree) tiers(yield func(tier.Tier) bool) {
	if eachTier(t.rows, yield) {
		eachTier(t.past, yield)
	}
}

// eachTier calls yield for tiers until it returns false, and reports whether it never did.
func eachTier(tiers []tier.Tier, yield func(tier.Tier) bool) bool {
	for _, rows := range tiers {
		if rows != nil && !yield(rows) {
			return false
		}
	}
	return true
}

// hasTiers reports whether rows of the tree are kept in tiers.
func (t *tree) hasTiers() bool { return t.rows != nil || t.past != nil }

// closeRows closes every tier.
func (t *tree) closeRows() error {
	var errs []error
	for rows := range t.tiers {
		errs = append(errs, rows.Close())
	}
	return errors.Join(errs...)
}

// free returns how many more cells the tree can give.
func (t *tree) free() int {
	n := t.capacity - len(t.cells)
	for _, refs := range t.cells[min(t.lowest, len(t.cells)):] {
		if refs == 0 {
			n++
		}
	}
	return n
}

// take reserves n cells, lowest first, appended to runs. There must be room.
func (t *tree) take(n int, runs []tier.Run) []tier.Run {
	for c := t.lowest; n > 0; c++ {
		if c == len(t.cells) {
			t.cells = append(t.cells, 0)
		}
		t.lowest = c + 1
		if t.cells[c] != 0 {
			continue
		}
		t.cells[c] = 1
		runs = appendRun(runs, tier.Run{Start: c, N: 1})
		t.high = max(t.high, c+1)
		n--
	}
	return runs
}

// share counts one more holder of the cells.
func (t *tree) share(runs []tier.Run) {
	for _, r := range runs {
		for c := r.Start; c < r.End(); c++ {
			t.cells[c]++
		}
	}
}

// give counts one holder less. Cells without a holder are free.
func (t *tree) give(runs []tier.Run) {
	for _, r := range runs {
		for c := r.Start; c < r.End(); c++ {
			t.cells[c]--
			if t.cells[c] < 0 {
				panic(fmt.Sprintf("kv: cell %d was given back twice", c))
			}
			if t.cells[c] == 0 {
				t.lowest = min(t.lowest, c)
				t.forgetRings(c)
			}
		}
	}
	t.trim()
}

// trim lowers the high mark to the last cell that is held.
func (t *tree) trim() {
	for t.high > 0 && t.cells[t.high-1] == 0 {
		t.high--
	}
	t.cells = t.cells[:t.high]
	t.lowest = min(t.lowest, t.high)
	for _, r := range t.regions {
		if r != nil {
			r.clean = min(r.clean, t.high)
		}
	}
	if r := t.restoring.Load(); r != nil {
		r.wanted.Store(min(r.wanted.Load(), int64(t.high)))
	}
}

// appendRun appends a run, joined to the last one if they touch.
func appendRun(runs []tier.Run, r tier.Run) []tier.Run {
	if n := len(runs); n > 0 && runs[n-1].End() == r.Start {
		runs[n-1].N += r.N
		return runs
	}
	return append(runs, r)
}

// cutRuns splits runs after n cells.
func cutRuns(runs []tier.Run, n int) (kept, rest []tier.Run) {
	for i, r := range runs {
		if n < r.N {
			kept = append(kept, runs[:i]...)
			if n > 0 {
				kept = append(kept, tier.Run{Start: r.Start, N: n})
			}
			rest = append(rest, tier.Run{Start: r.Start + n, N: r.N - n})
			return kept, append(rest, runs[i+1:]...)
		}
		n -= r.N
	}
	return runs, nil
}
