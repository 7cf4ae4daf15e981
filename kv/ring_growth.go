package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
)

// A ring has room for one sequence and a chunk. It grows when the sequences of a batch see more rows than
// that, and stays so until its tree is closed.

// growRing gives a ring of a tree more places. Under the policy auto, layers leave their device if
// there is no other room. After an error the ring is as it was.
func (p *Pool) growRing(ctx context.Context, t *tree, number, size int) error {
	r, w := t.rings[number], p.config.windows[number]
	size = min(plan.WholeBlocks(size), p.config.cells)
	if size > len(r.cells) {
		err := p.growRingRows(t, w, size)
		if p.config.policy.adapts() && errors.Is(allocation(err), ErrNoMemory) {
			if refusal, ok := errors.AsType[*refusalError](err); ok {
				refusal.device.bound, refusal.device.bounded = p.taken(refusal.device), true
			}
			switch settled := p.settleForRing(ctx, t, w, size); {
			case settled == nil:
				err = p.growRingRows(t, w, size)
			case !errors.Is(settled, ErrNoMemory): // otherwise the first error says what the user can do
				err = errors.Join(err, settled)
			}
		}
		if err != nil {
			return allocation(err)
		}
	}
	r.extend(size)
	return nil
}

// growRingRows moves the rows of rings to larger regions.
func (p *Pool) growRingRows(t *tree, w window, size int) error {
	if err := p.affordRing(t, w, size); err != nil {
		return err
	}
	rows := make([]*region, len(p.placed))
	err := p.newRingRows(w, size, rows)
	for _, l := range w.layers {
		if err != nil {
			break
		}
		err = p.copyRows(p.placed[l].device, t.ringRows[l], rows[l], t.ringRows[l].cells)
	}
	if err != nil {
		closeRegions(rows)
		return fmt.Errorf("kv: %d rows that the sequences of a batch see in a window of %d tokens: %w", size, w.tokens, err)
	}
	for _, l := range w.layers {
		t.ringRows[l].close()
		t.ringRows[l] = rows[l]
	}
	return nil
}

// ringGrowth returns, by device, how many bytes more larger rings take.
func (p *Pool) ringGrowth(t *tree, w window, size int) []int64 {
	more := make([]int64, len(p.devices))
	for _, l := range w.layers {
		more[p.placed[l].device.number] += p.config.layouts[l].RowBytes() * int64(size-t.ringRows[l].cells)
	}
	return more
}

// affordRing reports whether the devices' memory suffices for larger rings.
func (p *Pool) affordRing(t *tree, w window, size int) error {
	more := p.ringGrowth(t, w, size)
	for n, d := range p.devices {
		memory := p.config.devices[n].memory
		if free := memory - p.taken(d); memory > 0 && more[n] > max(0, free) {
			return noMemory("kv: sequences of a batch that see %d different tokens in a window of %d need %s of device memory more, and %s are left: take fewer sequences at a time, or allow K/V more",
				size, w.tokens, bytesize.Ceil(more[n]), bytesize.Floor(max(0, free)))
		}
	}
	return nil
}

// settleForRing makes room on the devices for larger rings: layers that keep all rows leave.
func (p *Pool) settleForRing(ctx context.Context, t *tree, w window, size int) error {
	for n, bytes := range p.ringGrowth(t, w, size) {
		p.devices[n].growing = bytes
	}
	defer func() {
		for _, d := range p.devices {
			d.growing = 0
		}
	}()
	return p.settle(ctx, p.presentDemands())
}

// ringsBeyond returns the bytes that rings on a device take beyond those of the placement: of rings that
// have grown, and of one that is about to.
func (p *Pool) ringsBeyond(d *device) int64 {
	bytes := d.growing
	for t := range p.withRows {
		for _, l := range d.placement.Layers {
			if t.ringRows != nil && t.ringRows[l] != nil {
				bytes += p.config.layouts[l].RowBytes() * int64(t.ringRows[l].cells-p.config.windows[p.placed[l].ring].size)
			}
		}
	}
	return bytes
}

// withRows goes through the trees that have memory, also that of which only the memory is kept.
func (p *Pool) withRows(yield func(*tree) bool) {
	for t := range p.trees {
		if t.regions != nil && !yield(t) {
			return
		}
	}
	if p.spare != nil {
		yield(p.spare)
	}
}
