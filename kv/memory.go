package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// ensureMemory gives a tree its memory before its first step, and room for its cells.
func (p *Pool) ensureMemory(ctx context.Context, t *tree, cells int) error {
	if p.config.policy.adapts() && !p.hasRoom(t, cells) {
		if err := p.settle(ctx, []demand{{tree: t, cells: cells, past: t.room}}); err != nil {
			return err
		}
	}
	if t.regions == nil {
		if err := p.allocate(ctx, t); err != nil {
			return err
		}
	}
	if !t.hasTiers() || cells <= t.reserved {
		return nil
	}
	p.stopCopies() // rows may be fetched ahead from the tier
	return p.change(func() error { return t.reserve(ctx, min(plan.WholeBlocks(cells), p.config.cells)) })
}

// allocate makes the regions of a tree: on the device for resident layers, in host memory for
// streamed ones that are used in place, in a tier for others.
func (p *Pool) allocate(ctx context.Context, t *tree) (err error) {
	if p.spare != nil {
		p.takeSpare(t)
		return nil
	}
	if err := p.afford(); err != nil {
		return err
	}
	if err := p.fixStates(); err != nil {
		return err
	}
	allocated := false
	defer func() {
		if !allocated { // also after a panic
			err = errors.Join(err, p.release(t))
		}
	}()
	t.regions = make([]*region, len(p.placed))
	if err := p.openRings(t); err != nil {
		return err
	}
	for _, d := range p.devices {
		var layouts []tier.Layout
		for _, l := range d.placement.Layers {
			at := p.placed[l]
			if at.ring != nowhere || !p.config.shapes[l].keepsRows() {
				continue
			}
			if !at.resident && !at.onHost && d.copies {
				layouts = append(layouts, p.config.layouts[l])
				continue
			}
			r, err := p.newRegion(l, p.config.cells)
			if err != nil {
				return err
			}
			t.regions[l] = r
		}
		if layouts == nil {
			continue
		}
		if t.rows == nil {
			t.rows = make([]tier.Tier, len(p.devices))
		}
		t.rows[d.number] = p.config.newTier(layouts, func(bytes int64) (tier.Buffer, error) { return p.hostBuffer(d, bytes) })
	}
	if t.rows != nil && p.config.policy.fixed() { // rows behind windows take memory as they come, also under static
		if err := p.change(func() error { return t.reserve(ctx, p.config.cells) }); err != nil {
			return err
		}
	}
	allocated = true
	return nil
}

// afford reports whether the devices' memory suffices for the resident layers of one more tree.
func (p *Pool) afford() error {
	trees := 1
	for t := range p.trees {
		if t.regions != nil {
			trees++
		}
	}
	for n, d := range p.devices {
		memory := p.config.devices[n].memory
		if need := d.placement.Bytes(trees) + p.beyond(d, trees); memory > 0 && need > memory {
			return noMemory("kv: the resident layers of %d sequences need %s of device memory for %s, and %s is allowed: close a sequence, or plan for more of them",
				trees, bytesize.Ceil(need), p.contents(), bytesize.Floor(memory))
		}
	}
	return nil
}

// newRegion allocates room for some cells of a layer, zeroed if the policy allocates once.
func (p *Pool) newRegion(l, cells int) (*region, error) {
	d := p.placed[l].device
	kind, purpose := d.backend.BufferType(), ggml.Regions
	if !p.placed[l].resident {
		kind, purpose = d.backend.PlainHostBufferType(), ggml.HostRows
	}
	size := p.config.layouts[l].RowBytes() * int64(cells)
	b, zero, err := p.allocRows(d, kind, size, purpose)
	if err != nil {
		return nil, allocation(fmt.Errorf("kv: layer %d of %d cells: %w", l, cells, err))
	}
	r := newRegion(p.nextID.Add(1), p.config.shapes[l], p.config.typeK, p.config.typeV, cells, b, 0)
	r.buffer, r.new = b, zero
	if p.config.policy.fixed() {
		b.UseHugePages()
		r.zero(r.cells, r.cells)
	}
	return r, nil
}

// allocRows allocates memory for a region, and reports whether it is zero. Policies that do not take all
// memory at once take it page by page, as rows come; huge pages would not.
func (p *Pool) allocRows(d *device, kind ggml.BufferType, bytes int64, purpose ggml.Purpose) (b *ggml.Buffer, zero bool, err error) {
	if p.config.policy.fixed() {
		b, err = p.alloc(d, kind, bytes, purpose)
		return b, false, err
	}
	if err := p.mayAlloc(); err != nil {
		return nil, false, err
	}
	return d.backend.AllocZero(kind, bytes, purpose)
}

// retire takes back a tree that no sequence holds.
func (p *Pool) retire(t *tree) error {
	if r := t.restoring.Load(); r != nil {
		r.fail(fmt.Errorf("kv: restore: %w: the sequence", ErrClosed))
	}
	if p.open {
		p.retired = append(p.retired, t)
		return nil
	}
	delete(p.trees, t)
	t.endRestore()
	if t.regions == nil { // also where a step has found no room for it
		p.restStates()
		return nil
	}
	p.stopCopies() // rows may be fetched ahead for the next step
	if p.leavesSpare(t) {
		p.spare = t
		return nil
	}
	err := p.release(t)
	if p.config.policy.adapts() && p.withMemory() == 0 {
		err = errors.Join(err, p.giveUpSpare())
	}
	p.restStates()
	p.rest()
	return err
}

// stopCopies ends the copies that are under way, fetches ahead among them, and waits for them.
func (p *Pool) stopCopies() {
	p.cancels.all()
	p.drain()
}

// drain waits for the copies that were started.
func (p *Pool) drain() {
	for _, d := range p.devices {
		for _, m := range d.in {
			m.drain()
		}
		d.out.drain()
	}
}

// release frees a tree's memory.
func (p *Pool) release(t *tree) error {
	t.endRestore()
	for _, r := range t.regions {
		if r != nil {
			r.close()
		}
	}
	t.closeRings()
	err := p.change(t.closeRows)
	t.regions, t.rows, t.past, t.reserved, t.room, t.final = nil, nil, nil, 0, 0, 0
	for _, d := range p.devices {
		d.bounded = false // there is memory again
	}
	if p.states != nil {
		p.states.denied = 0
	}
	p.count()
	return err
}

// count updates the byte counts. On a CPU a region that the policy does not touch at once takes
// memory only for the blocks in use.
func (p *Pool) count() {
	var sum usage
	for _, d := range p.devices {
		sum.device += d.slotsTaken()
	}
	for t := range p.trees {
		sum.add(p.treeUsage(t))
	}
	if p.spare != nil {
		sum.add(p.treeUsage(p.spare))
	}
	s := &p.stats
	s.StatesBytes = 0
	for _, d := range p.devices {
		s.StatesBytes += p.statesOn(d)
	}
	sum.device += s.StatesBytes
	s.StatesOffBytes = p.statesOff()
	sum.Host += s.StatesOffBytes
	s.Snapshots, s.SnapshotBytes = 0, 0
	if k := p.snapshots; k != nil {
		u := k.usage()
		s.Snapshots, s.SnapshotBytes = len(k.kept), u.Host+u.Disk
		sum.Usage = sum.Plus(u)
	}
	s.DeviceBytes, s.HostBytes, s.DiskBytes = sum.device, sum.Host, sum.Disk
	if sum.device > s.DeviceBytesPeak {
		s.DeviceBytesPeak, s.StatesBytesPeak = sum.device, s.StatesBytes
	}
	s.HostBytesPeak = max(s.HostBytesPeak, sum.Host)
	s.DiskBytesPeak = max(s.DiskBytesPeak, sum.Disk)
}

// usage is the bytes of K/V by the place where they are.
type usage struct {
	device int64
	tier.Usage
}

func (u *usage) add(v usage) {
	u.device += v.device
	u.Usage = u.Plus(v.Usage)
}

// regionUsage returns the bytes that a layer's region takes.
func (p *Pool) regionUsage(l int, r *region) int64 {
	if p.placed[l].growsByBlock(p.config.policy) {
		return r.layout.RowBytes() * int64(plan.WholeBlocks(r.touched))
	}
	return r.bytes()
}

// treeUsage returns the bytes that one tree takes.
func (p *Pool) treeUsage(t *tree) (sum usage) {
	for l, r := range t.regions {
		switch {
		case r == nil:
		case p.placed[l].resident:
			sum.device += p.regionUsage(l, r)
		default:
			sum.Host += p.regionUsage(l, r)
		}
	}
	for _, r := range t.ringRows {
		if r != nil {
			sum.device += r.bytes()
		}
	}
	for rows := range t.tiers {
		sum.Usage = sum.Plus(rows.Usage())
	}
	return sum
}
