package kv

import (
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// A tree that no sequence holds any more may leave its memory to the next one: the spare. Policies that
// allocate once keep that of any tree. Under the policy auto it is kept on a CPU, of a tree of a block at most
// and beside others: a request that joins a batch would have the steps of all wait while the system maps its
// regions and finds their pages, and one that leaves while it takes them back.
//
// A spare under auto counts as what it takes. It is part of no decision about memory: settle gives it to a new
// tree, if nothing else is lacking then, or gives it up before it asks what fits, and others who need memory
// have it given up before they are refused.
//
// The next tree attends to none of its old rows. A token sees the cells of its own sequence alone, and these
// are written before they are read: what kernels read besides is padding, which [region.zero] zeroes as far as
// it was ever in use.

// leavesSpare reports whether the memory of a tree is kept when it is closed.
func (p *Pool) leavesSpare(t *tree) bool {
	if p.closed || p.spare != nil {
		return false
	}
	if p.config.policy.fixed() {
		return true
	}
	if !p.config.policy.adapts() || p.states != nil || p.withMemory() == 0 || p.refused() {
		return false
	}
	for l, r := range t.regions {
		at := p.placed[l]
		if p.config.shapes[l].keepsRows() && (!at.resident || at.ring != nowhere || r == nil || !r.new || r.touched > plan.Block) {
			return false
		}
	}
	return true
}

// takeSpare gives a tree without memory the spare.
func (p *Pool) takeSpare(t *tree) {
	s := p.spare
	t.regions, t.rows, t.reserved, t.room = s.regions, s.rows, s.reserved, s.room
	t.rings, t.ringRows, t.past, t.pastSize = s.rings, s.ringRows, s.past, s.pastSize
	p.spare = nil
	p.reuseRings(t)
}

// useSpare gives the spare to the tree that lacks room, if one alone does, has no memory yet and finds in it
// all the room that it demands. Otherwise the spare is given up. It reports whether no tree lacks room now.
func (p *Pool) useSpare(demands []demand) (enough bool, err error) {
	if p.spare == nil {
		return false, nil
	}
	var lacking []demand
	for _, d := range demands {
		if !p.hasRoom(d.tree, d.cells) {
			lacking = append(lacking, d)
		}
	}
	if len(lacking) == 1 {
		if d := lacking[0]; d.tree.regions == nil && p.hasRoom(p.spare, max(d.cells, d.soon)) {
			p.takeSpare(d.tree)
			return true, nil
		}
	}
	return false, p.giveUpSpare()
}

// giveUpSpare frees the spare.
func (p *Pool) giveUpSpare() error {
	t := p.spare
	if t == nil {
		return nil
	}
	p.spare = nil
	return p.release(t)
}

// spareOn returns the bytes of a spare on a device that would be given up for others.
func (p *Pool) spareOn(d *device) (bytes int64) {
	if p.spare == nil || !p.config.policy.adapts() {
		return 0
	}
	for _, l := range d.placement.Layers {
		if r := p.spare.regions[l]; r != nil {
			bytes += p.regionUsage(l, r)
		}
	}
	return bytes
}

// neededBuffer is hostBuffer for those who have the pool locked: if there is no room, a spare under the policy
// auto is given up for it.
func (p *Pool) neededBuffer(d *device, bytes int64) (tier.Buffer, error) {
	b, err := p.hostBuffer(d, bytes)
	if err == nil || p.spare == nil || !p.config.policy.adapts() {
		return b, err
	}
	if err := p.giveUpSpare(); err != nil {
		return nil, err
	}
	return p.hostBuffer(d, bytes)
}
