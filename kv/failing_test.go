package kv

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

var errDown = errors.New("the tier is down")

// failing makes tiers of which a copy fails.
type failing struct {
	make tier.Maker

	mu    sync.Mutex // rows are fetched and stored at the same time
	after int        // copies left, the failing one included; 0: all work
}

func (f *failing) open(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
	return &failingTier{f.make(layouts, memory), f}
}

func (f *failing) set(after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
}

func (f *failing) copy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after == 0 {
		return nil
	}
	if f.after > 1 {
		f.after--
		return nil
	}
	return errDown
}

type failingTier struct {
	tier.Tier
	*failing
}

func (t *failingTier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	if err := t.copy(); err != nil {
		return err
	}
	return t.Tier.Fetch(ctx, layer, cells, dst)
}

func (t *failingTier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	if err := t.copy(); err != nil {
		return err
	}
	return t.Tier.Store(ctx, layer, runs, src)
}

// A link that is down (here: a tier that fails) ends the step and not the cache.
func TestFailedCopiesEndTheStepAndLeaveTheCacheUsable(t *testing.T) {
	o := uniform(Offloaded, 5, 300)
	o.ForcedCopies = true
	down := &failing{make: o.Tier}
	o.Tier = down.open
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	s := l.seq()
	l.grow(growth{s, 10})
	l.pool.drain()
	for _, after := range []int{0, 1, 3, 5, 7} { // copies that still work
		down.set(after + 1)
		if err := l.step(t.Context(), 6, growth{s, 1}); !errors.Is(err, errDown) {
			t.Errorf("%d copies before the failure: %v; want %v", after, err, errDown)
		}
		l.pool.drain()
		down.set(0)
		l.check()
	}
	l.grow(growth{s, 10})
	l.check()
}
