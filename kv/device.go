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
	row      int // the layer's number in the device's tier, if it is not resident
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
	streamed := 0
	for i, l := range d.layers {
		p.homes[l] = home{device: d, resident: place.Resident[i], row: streamed}
		if !place.Resident[i] {
			streamed++
		}
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

// moves reports whether streamed layers take time to reach the device: they are
// copied, or used in place behind a link.
func (d *device) moves() bool { return d.place.Streamed > 0 && (d.copies || d.link.Rate > 0) }

// touchesLate reports whether a region takes memory only for the blocks in use.
func (d *device) touchesLate(p Policy) bool {
	return d.backend.Device().Type() == ggml.CPU && !p.fixed()
}

// hostBuffer allocates zeroed host memory, pinned where the device has that.
func (d *device) hostBuffer(bytes int64) (tier.Buffer, error) {
	kind, ok := d.backend.HostBufferType()
	if !ok {
		kind = d.backend.PlainHostBufferType()
	}
	b, err := d.backend.Alloc(kind, bytes, ggml.HostRows)
	if err != nil {
		return nil, err
	}
	b.Clear()
	return b, nil
}

func (d *device) closeSlots() {
	for _, s := range d.slots {
		s.close()
	}
	d.slots = nil
}
