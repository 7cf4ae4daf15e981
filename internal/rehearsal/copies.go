package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// copiesBytes is how many bytes of K/V a step fetches while copies are rehearsed: few enough that
// they are written and read several times within a second, where the disk allows it.
const copiesBytes = 64 << 20

// Copies times the copies of layers that stream, as the cache makes them while layers are computed:
// from host memory, or with a disk, a folder, from files alone. It returns m with the rates and costs
// that were measured. The computing of m must have been measured before. It takes about half a second,
// and with a disk until its rate is steady, up to two more; it writes about 100 MB to the disk.
func (h *Rehearsal) Copies(ctx context.Context, m plan.Machine, disk string) (_ plan.Machine, err error) {
	s, streamed := h.sample.streaming()
	with := ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Disk: disk, Slots: plan.DefaultSlots, ResidentLayers: s.full - streamed}
	if s.full < fewLayers {
		with.Slots = 1 // or a layer would have a slot to itself
	}
	st, err := open(ctx, h.path, h.options, s.depth, with)
	if err != nil {
		return m, fmt.Errorf("rehearsal: %w", err)
	}
	defer func() { err = errors.Join(err, st.close()) }()
	took, err := st.steps(ctx, 1)
	if disk != "" && err == nil {
		took, err = steady(took, time.Now().Add(longestBurst), func() (spent, error) { return st.steps(ctx, 1) })
	}
	if err == nil && took.fetched == 0 {
		err = fmt.Errorf("rehearsal: %d layers that see the whole context are too few to stream", s.full)
	}
	if err != nil {
		return m, err
	}
	if took.stores > 0 {
		m.FetchSeconds = took.store.Seconds() / float64(took.stores)
	}
	seconds := took.fetch.Seconds() / float64(took.fetched) // a byte
	computed := float64(s.weights)/m.WeightRate + float64(s.reads(seedTokens+s.depth))/m.KVRate
	cost := max(0, took.layers.Seconds()-computed) / float64(took.fetched)
	if disk == "" {
		m.LinkRate, m.CopyCost = 1/seconds, cost
	} else { // what is read from the disk comes over the link meanwhile
		m.DiskRate, m.DiskCost = 1/seconds, cost
	}
	return m, nil
}

// Disks read faster at first than for long: from caches of their own, and as long as a service that
// bounds their rate lets bursts pass.
const (
	longestBurst = 2 * time.Second
	steadyWithin = 0.05 // of the rate before
)

// steady measures again until the rate of fetches is about what it was the time before, or a time has
// come. It returns what was measured last.
func steady(took spent, until time.Time, again func() (spent, error)) (spent, error) {
	for time.Now().Before(until) {
		before := took
		var err error
		if took, err = again(); err != nil || took.fetched == 0 {
			return took, err
		}
		if change := took.rate()/before.rate() - 1; -steadyWithin < change && change < steadyWithin {
			break
		}
	}
	return took, nil
}

// rate returns the bytes a second at which rows were fetched.
func (s spent) rate() float64 { return float64(s.fetched) / max(s.fetch.Seconds(), 1e-9) }
