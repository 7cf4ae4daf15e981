package disk

import (
	"context"

	"github.com/seed4d217819/ebb/tier"
)

var _ tier.Settler = (*Tier)(nil)

// Settle writes the open blocks and waits until the file has them. It gives all buffers back.
func (t *Tier) Settle(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		for len(l.open) > 0 {
			if err := t.evict(ctx, l, l.open[0]); err != nil {
				return err
			}
		}
	}
	for _, l := range t.layers {
		for b := range l.blocks {
			if err := t.written(ctx, &l.blocks[b]); err != nil {
				return err
			}
		}
	}
	if t.failure != nil {
		return t.failure
	}
	t.giveBuffersBack()
	return nil
}

// giveBuffersBack gives back the buffers that nobody uses.
func (t *Tier) giveBuffersBack() {
	for _, free := range t.free {
		for _, b := range free {
			t.memory -= int64(len(b.memory.Bytes()))
			b.memory.Close()
		}
	}
	clear(t.free)
	for range readers {
		if b := <-t.bounce; b != nil {
			t.memory -= int64(len(b.memory.Bytes()))
			b.memory.Close()
		}
		t.bounce <- nil
	}
}
