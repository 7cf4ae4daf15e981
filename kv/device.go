package kv

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// device is where some of the layers compute: the slots that they visit, and
// the movers that serve them.
type device struct {
	number  int
	backend *ggml.Backend
	layers  []int     // of the model, in order
	place   Placement // of these layers
	copies  bool      // streamed rows are copied; otherwise they are used in place
	slots   []*slot
	link    tier.Link
	in, out *mover // to the device, and off it
}

// home says where a layer's rows are used, and whether they stay there.
type home struct {
	device   *device
	resident bool
	atHost   bool   // rows are kept in a region in host memory, where attention may be computed too
	row      int    // the layer's number in the device's tier, if its rows are there
	order    [2]int // the layer's number among those that visit the device, by [Step.kind]
}

// newDevice places the layers of a device and allocates their slots.
func (p *Pool) newDevice(number int, b *ggml.Backend) (*device, error) {
	place, err := Place(p.opts.on(number))
	if err != nil {
		return nil, err
	}
	isCPU := b.Device().Type() == ggml.CPU
	d := &device{
		number: number, backend: b, layers: p.opts.layersOn(number), place: place,
		copies: !isCPU || p.opts.ForcedCopies, link: tier.Link{Rate: p.opts.Link},
	}
	if d.copies && place.Streamed > 0 && p.opts.Tier == nil {
		return nil, fmt.Errorf("kv: %v on %s needs a tier: set Options.Tier, for example to host.New", p.opts.Policy, b.Device().Name())
	}
	var visiting [2]int
	for i, l := range d.layers {
		h := home{device: d, resident: place.Resident[i], order: visiting, row: visiting[small]}
		h.atHost = d.copies && !h.resident && p.opts.AtHost != nil && p.opts.AtHost[l]
		for kind := range visiting {
			if h.visits(kind) {
				visiting[kind]++
			}
		}
		p.homes[l] = h
	}
	for range place.Slots {
		s, err := p.newSlot(d)
		if err != nil {
			d.closeSlots()
			return nil, err
		}
		d.slots = append(d.slots, s)
	}
	d.in, d.out = newMover(!isCPU), newMover(!isCPU)
	return d, nil
}

// visits reports whether the layer's rows visit a slot in steps of a kind.
func (h home) visits(kind int) bool { return !h.resident && (!h.atHost || kind == large) }

// moves reports whether streamed layers take time to reach the device: they are
// copied, or used in place behind a link.
func (d *device) moves() bool { return d.place.Streamed > 0 && (d.copies || d.link.Rate > 0) }

// touchedLate reports whether the layer's region takes memory only for the
// blocks in use.
func (h home) touchedLate(p Policy) bool {
	return (h.atHost || h.device.backend.Device().Type() == ggml.CPU) && !p.fixed()
}

// hostBuffer allocates zeroed host memory, pinned where the device has that.
func (p *Pool) hostBuffer(d *device, bytes int64) (tier.Buffer, error) {
	kind, ok := d.backend.HostBufferType()
	if !ok {
		kind = d.backend.PlainHostBufferType()
	}
	b, err := p.alloc(d, kind, bytes, ggml.HostRows)
	if err != nil {
		return nil, allocation(fmt.Errorf("kv: rows in host memory: %w", err))
	}
	b.Clear()
	return b, nil
}

// alloc allocates memory for rows.
func (p *Pool) alloc(d *device, kind ggml.BufferType, bytes int64, purpose ggml.Purpose) (*ggml.Buffer, error) {
	if h := p.hooks.alloc; h != nil {
		if err := h(); err != nil {
			return nil, err
		}
	}
	return d.backend.Alloc(kind, bytes, purpose)
}

func (d *device) closeSlots() {
	for _, s := range d.slots {
		s.close()
	}
	d.slots = nil
}
