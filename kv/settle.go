package kv

import (
	"context"
	"errors"
	"math"
	"slices"
)

// Under the policy auto, trees take memory as they grow, and which layers are resident is decided
// anew whenever a tree needs more room than it has: settle. It asks package plan what fits (aim.go),
// and makes it so (reach, in demote.go). That happens between steps, and a step that needs no room
// asks for none of it.

// demand is what a tree needs: room for some cells in this step, and for as many in the steps that
// are known to follow.
type demand struct {
	tree        *tree
	cells, soon int
	past        int // cells that it had room for before
}

// firstCells is how many cells a tree has room for at first, where its context is longer and they
// fit.
const firstCells = 16 * Block

// hasRoom reports whether a tree has room for some cells wherever its layers compute.
func (p *Pool) hasRoom(t *tree, cells int) bool {
	return t.regions != nil && cells <= t.room && cells <= p.slotCells
}

// settle gives trees the room that they demand. Layers leave their device if there is no other way.
// An error leaves all rows in place; layers may have left before it.
func (p *Pool) settle(ctx context.Context, demands []demand) error {
	p.stopCopies() // slots and regions are about to be replaced
	if enough, err := p.useSpare(demands); enough || err != nil {
		return err
	}
	var left departure
	defer p.report(&left, demands)
	return p.settleReporting(ctx, demands, &left)
}

// settleReporting is settle, and notes which layers leave.
func (p *Pool) settleReporting(ctx context.Context, demands []demand, left *departure) error {
	for {
		aim, err := p.aim(demands, p.bounds(true))
		last := err != nil && p.refused()
		if last { // what was refused once may be had now, if it is little
			aim, err = p.leastAim(demands, p.bounds(false))
		}
		if err == nil {
			err = p.reach(ctx, aim, demands, left)
		}
		if err == nil {
			return nil
		}
		refusal, ok := errors.AsType[*refusalError](err)
		if !ok || last {
			return p.giveUpRoom(demands, err)
		}
		left.refused = true
		d := refusal.device
		most := aim.placements[d.number].Take(aim.rooms()) - (refusal.bytes+1)/2
		d.bound = max(0, min(p.taken(d)+refusal.bytes/2, most))
		d.bounded = true
	}
}

// refused reports whether a device has refused memory.
func (p *Pool) refused() bool {
	return slices.ContainsFunc(p.devices, func(d *device) bool { return d.bounded })
}

// giveUpRoom gives back the memory of trees that hold no rows yet.
func (p *Pool) giveUpRoom(demands []demand, err error) error {
	for _, d := range demands {
		if d.tree.regions != nil && d.tree.high == 0 {
			err = errors.Join(err, p.release(d.tree))
		}
	}
	p.rest()
	return err
}

// refusalError says that a device has refused memory.
type refusalError struct {
	device *device
	bytes  int64
	err    error
}

func (e *refusalError) Error() string { return e.err.Error() }
func (e *refusalError) Unwrap() error { return e.err }

// withMemory returns how many trees have memory.
func (p *Pool) withMemory() (n int) {
	for t := range p.trees {
		if t.regions != nil {
			n++
		}
	}
	return n
}

// bounds returns, by device, how many bytes its K/V may take now, besides what rings and states take
// beyond the placement. refused says whether the bounds count that follow from refused allocations.
func (p *Pool) bounds(refused bool) []int64 {
	bounds := make([]int64, len(p.devices))
	contexts := slices.Repeat([]int{p.config.cells}, max(p.config.trees, len(p.trees)))
	for n, d := range p.devices {
		bounds[n] = math.MaxInt64
		if memory := p.config.devices[n].memory; memory > 0 {
			bounds[n] = memory
		}
		if d.bounded && refused {
			bounds[n] = min(bounds[n], d.bound)
		}
		if p.config.room != nil {
			if free, known := p.config.room(n, d.placement.Take(contexts)); known {
				bounds[n] = min(bounds[n], p.held(d)+free)
			}
		}
		bounds[n] = max(0, bounds[n]-p.beyond(d, p.withMemory()))
	}
	return bounds
}

// beyond returns the bytes that rings and states on a device take beyond those of a placement with some
// trees.
func (p *Pool) beyond(d *device, trees int) int64 {
	return p.ringsBeyond(d) + p.statesBeyond(d, trees)
}

// taken returns the bytes of the regions, states and slots of a device.
func (p *Pool) taken(d *device) int64 {
	return p.bytesOn(d, func(_ int, r *region) int64 { return r.bytes() })
}

// held returns the bytes of the regions, states and slots of a device that are in use: a CPU's regions take
// memory block by block.
func (p *Pool) held(d *device) int64 { return p.bytesOn(d, p.regionUsage) }

// bytesOn returns the bytes of the slots and states of a device, and those that are counted for each
// region there.
func (p *Pool) bytesOn(d *device, counted func(layer int, r *region) int64) int64 {
	bytes := d.slotsTaken() + p.statesOn(d)
	for t := range p.withRows {
		for _, l := range d.placement.Layers {
			if t.regions[l] != nil {
				bytes += counted(l, t.regions[l])
			}
			if t.ringRows != nil && t.ringRows[l] != nil {
				bytes += t.ringRows[l].bytes()
			}
		}
	}
	return bytes
}
