package disk

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// spots returns the places of a block in files.
func (b *block) spots() (spots []*spot) {
	for _, at := range [...]*spot{b.at, b.spare} {
		if at != nil {
			spots = append(spots, at)
		}
	}
	return spots
}

// prepare makes room of its own for a block that is about to be stored to, if other trees refer to its
// place.
func (t *Tier) prepare(l *layer, block *block) error {
	if block.spare != nil || !t.store.shared(block.at) {
		return nil
	}
	need := make([]int, len(t.layers))
	need[l.number] = 1
	if err := t.room(need); err != nil {
		return err
	}
	block.spare = t.spot(l)
	return nil
}

// leave moves a block, whose rows are in memory now, to the room of its own.
func (t *Tier) leave(block *block) {
	if block.spare == nil {
		return
	}
	old := block.at
	block.at, block.spare = block.spare, nil
	t.release([]*spot{old})
}

// Drop gives up cells.
func (t *Tier) Drop(cells tier.Run) {
	first, end := blocksOf(cells)
	var spots []*spot
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		for b := first; b < min(end, len(l.blocks)); b++ {
			old := &l.blocks[b]
			_ = t.written(context.Background(), old) // it is not cancelled
			l.open = slices.DeleteFunc(l.open, func(open int) bool { return open == b })
			if old.buffer != nil {
				t.giveBack(old.buffer)
			}
			spots = append(spots, old.spots()...)
			*old = block{}
		}
	}
	t.release(spots)
}

// Digest returns the digest of a block. Layers that are in a file only are read.
func (t *Tier) Digest(ctx context.Context, b int) (sum tier.Digest, err error) {
	return tier.DigestOf(len(t.layers), func(layer int, to hash.Hash) error {
		l := t.layers[layer]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.check(tier.Run{Start: b * tier.BlockCells, N: tier.BlockCells}); err != nil {
			return err
		}
		return t.look(l, b, func(rows []byte) { _, _ = to.Write(rows) }) // it never fails
	})
}

// look shows the rows of a block.
func (t *Tier) look(l *layer, b int, show func(rows []byte)) error {
	t.mu.Lock()
	buffer, at := l.blocks[b].buffer, l.blocks[b].at
	if buffer != nil {
		buffer.pins++
	}
	t.mu.Unlock()
	switch {
	case buffer != nil:
		show(buffer.bytes[:l.content()])
		t.mu.Lock()
		defer t.mu.Unlock()
		buffer.pins--
		t.unused(l, b)
		return nil
	case !at.inFile:
		show(make([]byte, l.content()))
		return nil
	}
	bounce, err := t.takeBounce()
	if err != nil {
		return err
	}
	defer func() { t.bounce <- bounce }()
	if err := t.readBlocks(l, newSpan(at, b, 0, tier.BlockCells), bounce.bytes); err != nil {
		return err
	}
	show(bounce.bytes[:l.content()])
	return nil
}

// Borrow makes cells refer to places in the file of another tree, which writes what it has of them in
// memory alone.
func (t *Tier) Borrow(ctx context.Context, from tier.Place, cells tier.Run) error {
	other, ok := from.(*Tier)
	if !ok || other.store != t.store {
		return errors.New("disk: cells can be borrowed from a tree in the same folder alone")
	}
	if !t.store.punches {
		return fmt.Errorf("disk: files in %s cannot be given back in parts", t.store.options.Dir)
	}
	lent, err := other.lend(ctx, cells)
	if err != nil {
		return err
	}
	first, end := blocksOf(cells)
	var old []*spot
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		l.blocks = append(l.blocks, make([]block, max(0, end-len(l.blocks)))...)
		for b := first; b < end; b++ {
			if err := t.written(ctx, &l.blocks[b]); err != nil {
				return err
			}
		}
	}
	for i, l := range t.layers {
		for b := first; b < end; b++ {
			block, at := &l.blocks[b], lent[i][b-first]
			if block.at == at {
				continue
			}
			t.store.hold(t, at)
			old = append(old, block.spots()...)
			block.at, block.spare = at, nil
			if block.buffer != nil {
				block.buffer.clean = true
				t.unused(l, b)
			}
		}
	}
	t.release(old)
	return nil
}

// lend returns the places of cells, by layer and block, when the file has them all.
func (t *Tier) lend(ctx context.Context, cells tier.Run) (spots [][]*spot, err error) {
	first, end := blocksOf(cells)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		if err := l.check(cells); err != nil {
			return nil, err
		}
		for b := first; b < end; b++ {
			if err := t.write(ctx, l, b); err != nil {
				return nil, err
			}
		}
	}
	for _, l := range t.layers {
		var row []*spot
		for b := first; b < end; b++ {
			if err := t.written(ctx, &l.blocks[b]); err != nil {
				return nil, err
			}
			row = append(row, l.blocks[b].at)
		}
		spots = append(spots, row)
	}
	return spots, t.failure
}

// Shared returns how many of some cells other trees refer to, too.
func (t *Tier) Shared(cells tier.Run) (n int) {
	first, end := blocksOf(cells)
	for b := first; b < end; b++ {
		for _, l := range t.layers {
			if b < len(l.blocks) && l.blocks[b].at != nil && t.store.shared(l.blocks[b].at) {
				n += tier.BlockCells
				break
			}
		}
	}
	return n
}

// Own makes room for blocks to which other trees refer, too. Such a block moves there when it is
// stored to.
func (t *Tier) Own(ctx context.Context, cells tier.Run) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	first, end := blocksOf(cells)
	need := make([]int, len(t.layers))
	each := func(do func(i int, l *layer, block *block)) {
		for i, l := range t.layers {
			for b := first; b < min(end, len(l.blocks)); b++ {
				if block := &l.blocks[b]; block.at != nil && block.spare == nil && t.store.shared(block.at) {
					do(i, l, block)
				}
			}
		}
	}
	each(func(i int, _ *layer, _ *block) { need[i]++ })
	if err := t.room(need); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	each(func(_ int, l *layer, block *block) { block.spare = t.spot(l) })
	return nil
}
