package kv

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed4d217819/ebb/tier"
)

// A restored sequence has the snapshots that were saved with it, so that it goes back as far as it would
// have if it had never been closed. They are read behind all layers, into tiers of their own. A truncated
// sequence waits for the one that it begins with, and for no other.

// coming is a snapshot that is being restored.
type coming struct {
	one    *snapshot
	number int // in the source
	r      *restoring
	items  []int // of the restore
	pool   *Pool

	mu   sync.Mutex
	gone bool  // nobody wants it any more: its tiers are closed
	err  error // why it has not come
}

// restoreSnapshots gives a new sequence the snapshots of a source up to its state, which are to be read.
// That of the state itself is copied from where the sequence has it.
func (p *Pool) restoreSnapshots(s *Seq, r *restoring) {
	if r.state == nil || p.snapshots == nil {
		return
	}
	_, all := r.source.(StateSource).States()
	for number, at := range all {
		switch {
		case at == r.state.tokens:
			p.takeSnapshot(s, at, s.state, false)
		case at < r.state.tokens:
			p.expectSnapshot(s, r, at, number)
		}
	}
	for k := p.snapshots; len(k.kept) > k.most; {
		p.giveUp(p.leastUseful())
	}
}

// expectSnapshot gives a new sequence a snapshot that is to be read.
func (p *Pool) expectSnapshot(s *Seq, r *restoring, tokens, number int) {
	one := &snapshot{tokens: tokens, holders: 1, place: nowhere, tiers: p.snapshotTiers(), copied: true}
	one.ctx, one.cancel = context.WithCancel(context.Background())
	one.coming = &coming{one: one, number: number, r: r, pool: p}
	for i, l := range p.states.layers {
		one.coming.items = append(one.coming.items, len(r.items))
		r.add(item{layer: l, number: i, blocks: 1, size: 4 * int64(p.config.shapes[l].State), coming: one.coming})
	}
	s.snapshots = append(s.snapshots, one) // in order, as the source has them
	p.snapshots.kept = append(p.snapshots.kept, one)
}

// bringSnapshot reads the state of a layer in a snapshot, if somebody still wants it, and stores it. If
// that fails, the snapshot alone is lost.
func (r *restoring) bringSnapshot(ctx context.Context, i item, buffer []byte) {
	c := i.coming
	c.mu.Lock()
	done := c.gone || c.err != nil
	c.mu.Unlock()
	if done {
		return
	}
	state, err := r.source.(StateSource).State(ctx, c.number, i.number, buffer)
	if err == nil {
		r.bytes.Add(int64(len(state)))
		r.hooks.copying()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.err != nil {
		return
	}
	if err == nil {
		err = c.store(i.layer, state)
	}
	if err != nil {
		c.err = fmt.Errorf("kv: restore the state of layer %d after %d tokens: %w", i.layer, c.one.tokens, err)
	}
}

// store keeps the state of a layer in the snapshot's tiers.
func (c *coming) store(layer int, state []byte) error {
	device, number := c.pool.snapshots.find(c.pool, layer)
	to := c.one.tiers[device]
	if err := to.Reserve(c.one.ctx, Block); err != nil {
		return err
	}
	if err := to.Store(c.one.ctx, number, []tier.Run{{N: Block}}, looseState{state, c.pool.config.shapes[layer].StateBytes() / Block}); err != nil {
		return err
	}
	return settleTier(c.one.ctx, to)
}

// await waits until the snapshot has come, or returns why it has not.
func (c *coming) await(ctx context.Context) error {
	if c == nil {
		return nil
	}
	for _, i := range c.items {
		if err := c.r.awaitItem(ctx, i); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// missed reports whether the snapshot could not be restored.
func (c *coming) missed() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// end ends the restore of the snapshot, whose context was cancelled: its tiers are used by nobody then.
func (c *coming) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
}

// looseState is a state without its padding, as tiers read it.
type looseState struct {
	state []byte
	piece int64 // bytes of a cell
}

// Read copies a part of the state out. Its padding is zeros.
func (s looseState) Read(p tier.Part, cell, n int, buf []byte, _ int64) {
	if p != tier.Keys {
		return
	}
	buf = buf[:int64(n)*s.piece]
	from := min(int64(cell)*s.piece, int64(len(s.state)))
	clear(buf[copy(buf, s.state[from:]):])
}

// Write is for memories that are stored to.
func (s looseState) Write(tier.Part, int, int, []byte, int64) {
	panic("kv: a state that was read is not written")
}
