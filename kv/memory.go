package kv

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// settle gives a tree its memory before its first step, and room for its cells.
func (p *Pool) settle(t *tree, cells int) error {
	if t.regions == nil {
		if err := p.allocate(t); err != nil {
			return err
		}
	}
	if t.rows == nil || cells <= t.reserved {
		return nil
	}
	p.quiet() // rows may be fetched ahead from the tier
	if err := t.rows.Reserve(cells); err != nil {
		return err
	}
	t.reserved = cells
	return nil
}

// allocate makes the regions of a tree: on the device for resident layers, in
// host memory for streamed ones that are used in place, in a tier for others.
func (p *Pool) allocate(t *tree) error {
	if p.spare != nil {
		t.regions, t.rows, t.reserved = p.spare.regions, p.spare.rows, p.spare.reserved
		p.spare = nil
		return nil
	}
	if err := p.afford(); err != nil {
		return err
	}
	t.regions = make([]*region, len(p.opts.Layers))
	var layouts []tier.Layout
	for l, s := range p.opts.Layers {
		if !p.place.Resident[l] && p.copies {
			layouts = append(layouts, s.layout(p.opts.TypeK, p.opts.TypeV))
			continue
		}
		r, err := p.newRegion(l)
		if err != nil {
			return errors.Join(err, p.release(t))
		}
		t.regions[l] = r
	}
	if layouts == nil {
		return nil
	}
	t.rows = p.opts.Tier(layouts, p.hostBuffer)
	if !p.opts.Policy.fixed() {
		return nil
	}
	if err := t.rows.Reserve(p.place.Cells); err != nil {
		return errors.Join(err, p.release(t))
	}
	t.reserved = p.place.Cells
	return nil
}

// afford reports whether Memory suffices for one more tree's resident layers.
func (p *Pool) afford() error {
	if p.opts.Memory == 0 {
		return nil
	}
	slots := int64(p.place.Slots) * p.place.SlotBytes
	each := (p.place.DeviceBytes - slots) / int64(p.opts.Trees)
	trees := int64(1)
	for t := range p.trees {
		if t.regions != nil {
			trees++
		}
	}
	if need := slots + trees*each; need > p.opts.Memory {
		return fmt.Errorf("kv: the resident layers of %d sequences need %d bytes of device memory, and %d are allowed: close a sequence, or plan for more of them",
			trees, need, p.opts.Memory)
	}
	return nil
}

// newRegion allocates a layer's rows, zeroed if the policy allocates once.
func (p *Pool) newRegion(l int) (*region, error) {
	kind, purpose := p.backend.BufferType(), ggml.Regions
	if !p.place.Resident[l] {
		kind, purpose = p.backend.PlainHostBufferType(), ggml.HostRows
	}
	s := p.opts.Layers[l]
	size := s.layout(p.opts.TypeK, p.opts.TypeV).RowBytes() * int64(p.place.Cells)
	b, err := p.backend.Alloc(kind, size, purpose)
	if err != nil {
		return nil, fmt.Errorf("kv: layer %d of %d cells: %w", l, p.place.Cells, err)
	}
	r := newRegion(p.nextID.Add(1), s, p.opts.TypeK, p.opts.TypeV, p.place.Cells, b)
	r.buffer = b
	if p.opts.Policy.fixed() {
		r.zero(r.cells)
	}
	return r, nil
}

// hostBuffer allocates zeroed host memory, pinned where the device has that.
func (p *Pool) hostBuffer(bytes int64) (tier.Buffer, error) {
	kind, ok := p.backend.HostBufferType()
	if !ok {
		kind = p.backend.PlainHostBufferType()
	}
	b, err := p.backend.Alloc(kind, bytes, ggml.HostRows)
	if err != nil {
		return nil, err
	}
	b.Clear()
	return b, nil
}

// retire takes back a tree that no sequence holds.
func (p *Pool) retire(t *tree) error {
	if p.open {
		p.retired = append(p.retired, t)
		return nil
	}
	delete(p.trees, t)
	if t.regions == nil {
		return nil
	}
	p.quiet() // rows may be fetched ahead for the next step
	if p.opts.Policy.fixed() && p.spare == nil && !p.closed {
		p.spare = t
		return nil
	}
	return p.release(t)
}

// quiet ends what is fetched ahead and waits for it.
func (p *Pool) quiet() {
	if p.stop != nil {
		p.stop()
	}
	p.drain()
}

// drain waits for the copies that were started.
func (p *Pool) drain() {
	p.in.drain()
	p.out.drain()
}

// release frees a tree's memory.
func (p *Pool) release(t *tree) error {
	for _, r := range t.regions {
		if r != nil {
			r.close()
		}
	}
	t.regions, t.reserved = nil, 0
	var err error
	if t.rows != nil {
		err = t.rows.Close()
		t.rows = nil
	}
	p.count()
	return err
}

// count brings the byte counts up to date. On a CPU a region that the policy
// does not touch at once takes memory only for the blocks in use.
func (p *Pool) count() {
	device, hostBytes := int64(0), int64(0)
	for _, s := range p.slots {
		if s.buffer != nil {
			device += s.buffer.Size()
		}
	}
	for t := range p.trees {
		d, h := p.treeBytes(t)
		device, hostBytes = device+d, hostBytes+h
	}
	if p.spare != nil {
		d, h := p.treeBytes(p.spare)
		device, hostBytes = device+d, hostBytes+h
	}
	p.stats.DeviceBytes, p.stats.HostBytes = device, hostBytes
	p.stats.DeviceBytesPeak = max(p.stats.DeviceBytesPeak, device)
	p.stats.HostBytesPeak = max(p.stats.HostBytesPeak, hostBytes)
}

// treeBytes returns what one tree takes.
func (p *Pool) treeBytes(t *tree) (device, hostBytes int64) {
	lazy := p.backend.Device().Type() == ggml.CPU && !p.opts.Policy.fixed()
	for l, r := range t.regions {
		if r == nil {
			continue
		}
		bytes := r.bytes()
		if lazy {
			bytes = r.layout.RowBytes() * int64(pad(r.touched))
		}
		if p.place.Resident[l] {
			device += bytes
		} else {
			hostBytes += bytes
		}
	}
	if t.rows != nil {
		hostBytes += t.rows.Bytes()
	}
	return device, hostBytes
}
