package kv

import (
	"context"
	"errors"

	"github.com/seed4d217819/ebb/tier"
)

var errDown = errors.New("the tier is down")

// failing makes tiers of which a copy fails.
type failing struct {
	make  tier.Maker
	after int // copies left, the failing one included; 0: all work
}

func (f *failing) open(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
	return &failingTier{f.make(layouts, memory), f}
}

func (f *failing) copy() error {
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

func (t *failingTier) Fetch(ctx context.Context, layer, n int, dst tier.Memory) error {
	if err := t.copy(); err != nil {
		return err
	}
	return t.Tier.Fetch(ctx, layer, n, dst)
}

func (t *failingTier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	if err := t.copy(); err != nil {
		return err
	}
	return t.Tier.Store(ctx, layer, runs, src)
}
