package kv

import (
	"context"
	"errors"
	"math"

	"github.com/seed4d217819/ebb/tier"
)

// joined is the rows of one tree off one device under the policy auto: a tier for the layers that
// have left the device together, another for those that left later, and so on. To the pool it is one
// tier, in which layers have the numbers that they have on the device.
type joined struct {
	tiers []tier.Tier
	at    map[int]seat // by the layer's number on the device
}

// seat is where a layer is in a joined tier.
type seat struct {
	tier  tier.Tier
	layer int // its number there
}

var (
	_ tier.Tier   = (*joined)(nil)
	_ tier.Sharer = (*joined)(nil)
)

// add joins a tier for some layers.
func (j *joined) add(t tier.Tier, layers []int) {
	if j.at == nil {
		j.at = map[int]seat{}
	}
	j.tiers = append(j.tiers, t)
	for i, l := range layers {
		j.at[l] = seat{t, i}
	}
}

// Reserve makes room in all tiers. After an error those before the one that failed may have more
// room than they had.
func (j *joined) Reserve(ctx context.Context, cells int) error {
	for _, t := range j.tiers {
		if err := t.Reserve(ctx, cells); err != nil {
			return err
		}
	}
	return nil
}

// Seal tells all tiers which cells are sealed. After an error those before the one that failed know it.
func (j *joined) Seal(ctx context.Context, cells int) error {
	for _, t := range j.tiers {
		if err := t.Seal(ctx, cells); err != nil {
			return err
		}
	}
	return nil
}

// Fetch copies cells of a layer to dst.
func (j *joined) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	s := j.at[layer]
	return s.tier.Fetch(ctx, s.layer, cells, dst)
}

// Store keeps the cells of runs, read from src.
func (j *joined) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	s := j.at[layer]
	return s.tier.Store(ctx, s.layer, runs, src)
}

// Common returns how many cells both have in common in all layers. The layers have left the device of all
// trees together, so the tiers of two trees are for the same layers, in the same order.
func (j *joined) Common(other tier.Tier) int {
	o, ok := other.(*joined)
	if !ok || len(j.tiers) == 0 || len(j.tiers) != len(o.tiers) {
		return 0
	}
	cells := math.MaxInt
	for i, t := range j.tiers {
		cells = min(cells, commonCellsOf(t, o.tiers[i]))
	}
	return cells
}

// Usage returns the bytes that all tiers hold.
func (j *joined) Usage() (sum tier.Usage) {
	for _, t := range j.tiers {
		sum = sum.Plus(t.Usage())
	}
	return sum
}

// Close closes all tiers.
func (j *joined) Close() error {
	var errs []error
	for _, t := range j.tiers {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
