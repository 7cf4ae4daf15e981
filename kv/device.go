package kv

import (
	"fmt"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// device is where some of the layers compute: the slots that they visit, and the movers that serve
// them.
type device struct {
	number    int
	backend   *ggml.Backend
	placement plan.Placement // of its layers
	copies    bool           // streamed rows are copied; otherwise they are used in place
	slots     []*slot
	slotCells int         // cells that a slot has room for
	stage     stateMemory // places that the states of layers visit which lie off the device

	// Under the policy auto:
	waves   [][]int // layers that have left together, by their numbers on the device
	bound   int64   // bytes that its K/V may take, as far as refused allocations have shown
	bounded bool    // one was refused, so bound counts
	growing int64   // bytes by which rings are about to grow
	states  int64   // bytes by which states are about to grow, beyond the placement

	link tier.Link
	in   []*mover // to the device, one for each lane
	out  *mover   // off it

	spans        sync.Mutex // guards what follows
	fetchedUntil time.Time  // the end of the last fetch that was traced
}

// layerPlacement says where a layer's rows are used, and where they are kept.
type layerPlacement struct {
	device    *device
	resident  bool           // the rows never leave the device
	onHost    bool           // they are in a region in host memory, where attention may be computed
	tierLayer int            // the layer's number in the device's tier, if its rows are there
	ring      int            // the number of its window, if it has a ring; otherwise nowhere
	pastLayer int            // the layer's number in the tier of the rows that leave rings
	rows      int            // the layer whose rows it uses: itself, if it shares no other's
	visitor   [stepKinds]int // the layer's number among those that visit the device
}

// visits reports whether the layer's rows visit a slot in steps of a kind.
func (l layerPlacement) visits(kind stepKind) bool {
	return !l.resident && (!l.onHost || kind == deviceStep)
}

// growsByBlock reports whether the layer's region takes memory only for the blocks in use.
func (l layerPlacement) growsByBlock(p Policy) bool {
	return (l.onHost || l.device.backend.Device().Type() == ggml.CPU) && !p.fixed()
}

// newDevice makes a device with its slots, and notes where its layers are.
func (p *Pool) newDevice(number int, b *ggml.Backend) (*device, error) {
	placement := p.config.devices[number].placement
	isCPU := b.Device().Type() == ggml.CPU
	d := &device{
		number: number, backend: b, placement: placement, slotCells: p.config.cells,
		copies: !isCPU || p.config.forcedCopies, link: tier.Link{Rate: p.config.link},
	}
	if d.copies && p.config.newTier == nil && (placement.Streamed > 0 || p.config.devices[number].least < len(placement.Layers)) {
		return nil, fmt.Errorf("kv: %v on %s needs a tier: set Options.Tier, for example to host.New", p.config.policy, b.Device().Name())
	}
	p.locate(d)
	for range placement.Slots {
		s, err := p.newSlot(d)
		if err != nil {
			d.closeSlots()
			return nil, err
		}
		d.slots = append(d.slots, s)
	}
	for range d.lanes(isCPU) {
		d.in = append(d.in, newMover(!isCPU))
	}
	d.out = newMover(!isCPU)
	return d, nil
}

// locate notes where the layers of a device are.
func (p *Pool) locate(d *device) {
	var visitors [stepKinds]int
	past := 0
	for i, l := range d.placement.Layers {
		at := layerPlacement{device: d, resident: d.placement.Resident[i], visitor: visitors, tierLayer: visitors[hostStep], ring: nowhere, rows: l}
		if s := p.config.shapes[l]; s.Shares {
			at.rows = s.Of
		}
		if d.placement.Rings[i] > 0 {
			at.ring, at.pastLayer = windowOf(p.config.windows, p.config.shapes[l].Window), past
			past++
		}
		if p.config.policy.adapts() {
			at.tierLayer = i // which does not change when layers leave: see joined
		}
		at.onHost = d.copies && !at.resident && p.config.onHost[l]
		for kind := range stepKinds {
			if at.visits(kind) {
				visitors[kind]++
			}
		}
		p.placed[l] = at
	}
}

// countLayers counts the layers by where they are.
func (p *Pool) countLayers() {
	p.stats.ResidentLayers, p.stats.StreamedLayers, p.stats.WindowedLayers, p.stats.SharedLayers = 0, 0, 0, 0
	for i, l := range p.placed {
		if p.config.shapes[i].Shares {
			p.stats.SharedLayers++
		}
		if l.ring != nowhere {
			p.stats.WindowedLayers++
		}
		if l.resident {
			p.stats.ResidentLayers++
		} else {
			p.stats.StreamedLayers++
		}
	}
}

// slotBytes returns the bytes of one slot.
func (d *device) slotBytes() int64 {
	return d.placement.SlotBytes / int64(d.placement.Cells) * int64(d.slotCells)
}

// slotsTaken returns the bytes of the slots that the device has now.
func (d *device) slotsTaken() (bytes int64) {
	for _, s := range d.slots {
		if s.buffer != nil {
			bytes += s.buffer.Size()
		}
	}
	return bytes
}

// lanes returns how many visits are fetched at a time: two where slots are memory of the host, so
// that a disk has reads under way while the last of a visit are verified. A link sends one after the
// other, and so does the stream by which a GPU is reached.
func (d *device) lanes(isCPU bool) int {
	if isCPU && d.copies && d.link.Rate == 0 {
		return maxLanes
	}
	return 1
}

// moves reports whether streamed layers take time to reach the device: they are copied, or used in
// place behind a link.
func (d *device) moves() bool { return d.placement.Streamed > 0 && (d.copies || d.link.Rate > 0) }

// hostBuffer allocates zeroed host memory for rows.
func (p *Pool) hostBuffer(d *device, bytes int64) (tier.Buffer, error) {
	b, err := p.allocHost(d, bytes, "rows")
	if err != nil {
		return nil, allocation(fmt.Errorf("kv: %w", err))
	}
	b.UseHugePages()
	b.Clear()
	return b, nil
}

// allocHost allocates host memory for rows or states, pinned where the device has that. It takes none that
// is known not to be free, because systems end a process for that.
func (p *Pool) allocHost(d *device, bytes int64, what string) (*ggml.Buffer, error) {
	if p.config.room != nil {
		if free, known := p.config.room(HostMemory, bytes); known && free < bytes {
			return nil, noMemory("%s in host memory: %s are needed, and %s are free", what, bytesize.Ceil(bytes), bytesize.Floor(free))
		}
	}
	kind, ok := d.backend.HostBufferType()
	if !ok {
		kind = d.backend.PlainHostBufferType()
	}
	b, err := p.alloc(d, kind, bytes, ggml.HostRows)
	if err != nil {
		return nil, fmt.Errorf("%s in host memory: %w", what, err)
	}
	return b, nil
}

// alloc allocates memory for rows.
func (p *Pool) alloc(d *device, kind ggml.BufferType, bytes int64, purpose ggml.Purpose) (*ggml.Buffer, error) {
	if err := p.mayAlloc(); err != nil {
		return nil, err
	}
	return d.backend.Alloc(kind, bytes, purpose)
}

// mayAlloc returns why a test has an allocation fail.
func (p *Pool) mayAlloc() error {
	if p.hooks.alloc == nil {
		return nil
	}
	return p.hooks.alloc()
}

func (d *device) closeSlots() {
	for _, s := range d.slots {
		s.close()
	}
	d.slots = nil
}
