package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// In a tier a snapshot is a tree of one block, whose layers are the recurrent layers of a device: a
// state is cut into as many keys as a block has cells, and there are no values. So snapshots are in host
// memory or in files, are verified there, and are counted, as rows are.

// snapshotLayout returns the layout of a state in a tier.
func (s Shape) snapshotLayout() tier.Layout {
	return tier.Layout{Heads: 1, KeyBytes: (s.StateBytes() + tier.BlockCells - 1) / tier.BlockCells}
}

// snapshotTiers makes the tiers of a snapshot. They take no memory yet.
func (p *Pool) snapshotTiers() []tier.Tier {
	tiers := make([]tier.Tier, len(p.devices))
	for n, layers := range p.snapshots.on {
		if layers == nil {
			continue
		}
		layouts := make([]tier.Layout, len(layers))
		for i, l := range layers {
			layouts[i] = p.config.shapes[l].snapshotLayout()
		}
		d := p.devices[n]
		tiers[n] = p.config.newTier(layouts, func(bytes int64) (tier.Buffer, error) { return p.hostBuffer(d, bytes) })
	}
	return tiers
}

// find returns where a recurrent layer is in the tiers of snapshots: the device, and its number there.
func (k *snapshots) find(p *Pool, layer int) (device, number int) {
	device = p.placed[layer].device.number
	return device, slices.Index(k.on[device], layer)
}

// copy has a snapshot copied to its tiers, behind those that are being copied.
func (k *snapshots) copy(p *Pool, one *snapshot) {
	k.mu.Lock()
	k.waiting = append(k.waiting, one)
	start := !k.running
	k.running = true
	if start {
		k.ended = make(chan struct{})
	}
	k.mu.Unlock()
	if k.mover == nil {
		k.mover = newMover(slices.ContainsFunc(p.devices, func(d *device) bool { return d.backend.Device().Type() != ggml.CPU }))
	}
	if start {
		k.mover.start(func() { k.copyAll(p) })
	}
}

// copyAll copies all snapshots that wait for it. It runs beside steps, and must not wait for the pool.
func (k *snapshots) copyAll(p *Pool) {
	for {
		k.mu.Lock()
		if len(k.waiting) == 0 {
			k.running = false
			close(k.ended)
			k.mu.Unlock()
			return
		}
		one := k.waiting[0]
		k.waiting = slices.Delete(k.waiting, 0, 1)
		k.mu.Unlock()
		err := p.copySnapshot(one)
		k.mu.Lock()
		one.copied, one.err = true, err
		k.mu.Unlock()
	}
}

// copySnapshot copies a snapshot from its place to its tiers.
func (p *Pool) copySnapshot(one *snapshot) error {
	if one.after != nil {
		if err := one.after.awaitState(one.ctx); err != nil {
			return err
		}
	}
	for n, layers := range p.snapshots.on {
		if layers == nil {
			continue
		}
		if err := one.tiers[n].Reserve(one.ctx, tier.BlockCells); err != nil {
			return err
		}
		for i, l := range layers {
			p.hooks.copying()
			if err := one.tiers[n].Store(one.ctx, i, []tier.Run{{N: tier.BlockCells}}, p.states.at(l, one.place)); err != nil {
				return err
			}
		}
		if err := settleTier(one.ctx, one.tiers[n]); err != nil {
			return err
		}
	}
	return nil
}

// settleTier has a tier give back what it holds for copies alone, as the next one may be far off.
func settleTier(ctx context.Context, t tier.Tier) error {
	if s, ok := t.(tier.Settler); ok {
		return s.Settle(ctx)
	}
	return nil
}

// withdraw takes a snapshot from those that wait to be copied, and reports whether it is not being
// copied then.
func (k *snapshots) withdraw(one *snapshot) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one.copied {
		return true
	}
	i := slices.Index(k.waiting, one)
	if i >= 0 {
		k.waiting = slices.Delete(k.waiting, i, i+1)
	}
	return i >= 0
}

// eachPlace calls do for the place of each snapshot that was not seen to be copied yet.
func (k *snapshots) eachPlace(do func(place int)) {
	if k == nil || k.copies == 0 {
		return
	}
	for _, some := range [...][]*snapshot{k.kept, k.leaving} {
		for _, one := range some {
			do(one.place)
		}
	}
}

// result reports whether the copy of a snapshot has ended, and how.
func (k *snapshots) result(one *snapshot) (ended bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return one.copied, one.err
}

// collectSnapshots gives back the places of snapshots that were copied meanwhile.
func (p *Pool) collectSnapshots() {
	k := p.snapshots
	if k == nil || k.copies == 0 {
		return
	}
	k.leaving = slices.DeleteFunc(k.leaving, func(one *snapshot) bool {
		ended, _ := k.result(one)
		if ended {
			k.copies--
			p.freeSnapshot(one)
		}
		return ended
	})
	for _, one := range slices.Clone(k.kept) {
		if one.place == nowhere || one.holders == 0 { // copied, or given up while others were collected
			continue
		}
		switch ended, err := k.result(one); {
		case !ended:
		case err != nil:
			p.notKept(one, err)
		default:
			k.copies--
			p.states.give(one.place)
			one.place = nowhere
		}
	}
}

// notKept makes room for a snapshot that could not be copied, and has it copied again. Where room is
// not what it lacks, or there is none to be made, it is given up.
func (p *Pool) notKept(one *snapshot, err error) {
	k := p.snapshots
	if least := p.leastUseful(); errors.Is(allocation(err), ErrNoMemory) && least != nil && least != one {
		p.giveUp(least)
		k.mu.Lock()
		one.copied, one.err = false, nil
		k.mu.Unlock()
		k.copy(p, one)
		return
	}
	if lost := one.after != nil && one.after.failure() != nil; !k.told && !lost { // then so is the sequence
		p.notices = append(p.notices, fmt.Sprintf("the state after %d tokens is not kept: %v", one.tokens, err))
	}
	k.told = true
	p.giveUp(one)
}

// awaitSnapshots waits until no state is being copied to tiers: their places may be moved then. The
// context's end ends the waiting.
func (p *Pool) awaitSnapshots(ctx context.Context) error {
	for k := p.snapshots; k != nil && k.copies > 0; p.collectSnapshots() {
		select {
		case <-k.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// finishSnapshots is awaitSnapshots where nothing ends the waiting.
func (p *Pool) finishSnapshots() {
	_ = p.awaitSnapshots(context.Background()) // it fails for the context's end alone
}

// closeSnapshots ends all copies, and frees all snapshots.
func (p *Pool) closeSnapshots() {
	k := p.snapshots
	if k == nil {
		return
	}
	all := slices.Concat(k.kept, k.leaving)
	for _, one := range all {
		one.cancel()
	}
	if k.mover != nil {
		k.mover.close()
	}
	for _, one := range all {
		p.freeSnapshot(one)
	}
	k.kept, k.leaving, k.copies = nil, nil, 0
	p.snapshots = nil // nobody takes one any more
}

// usage returns the bytes of all snapshots in tiers.
func (k *snapshots) usage() (sum tier.Usage) {
	for _, some := range [...][]*snapshot{k.kept, k.leaving} {
		for _, one := range some {
			for _, t := range one.tiers {
				if t != nil {
					sum = sum.Plus(t.Usage())
				}
			}
		}
	}
	return sum
}

// placeMemory is the state of a sequence in a layer, as tiers copy it.
type placeMemory struct {
	t      *ggml.Tensor
	offset int64 // of the place
	piece  int64 // bytes of a cell
}

// at returns the state of a layer in a place.
func (s *states) at(layer, place int) placeMemory {
	t := s.memory[layer].T
	return placeMemory{t, int64(place) * t.Nb(1), t.Nb(1) / tier.BlockCells}
}

// Write copies a part of a state in.
func (m placeMemory) Write(p tier.Part, cell, n int, buf []byte, _ int64) {
	if p == tier.Keys {
		m.t.Set(buf[:int64(n)*m.piece], m.offset+int64(cell)*m.piece)
	}
}

// Read copies a part of a state out.
func (m placeMemory) Read(p tier.Part, cell, n int, buf []byte, _ int64) {
	if p == tier.Keys {
		m.t.Get(buf[:int64(n)*m.piece], m.offset+int64(cell)*m.piece)
	}
}

// readSnapshot reads the state of a snapshot, which was copied, into a place.
func (p *Pool) readSnapshot(ctx context.Context, one *snapshot, place int) error {
	if err := one.coming.await(ctx); err != nil {
		return err
	}
	for n, layers := range p.snapshots.on {
		for i, l := range layers {
			p.hooks.copying()
			if err := one.tiers[n].Fetch(ctx, i, tier.Run{N: tier.BlockCells}, p.states.at(l, place)); err != nil {
				return err
			}
		}
		if layers == nil {
			continue
		}
		if err := settleTier(ctx, one.tiers[n]); err != nil {
			return err
		}
	}
	return nil
}
