package disk

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/tier"
)

// ErrDamaged says that a disk did not return the bytes that were written to it.
var ErrDamaged = errors.New("rows are damaged")

const (
	// openBlocks is how many blocks of a layer stay in memory: the one that grows, and the one
	// before, to which a fork or a truncated sequence may still store.
	openBlocks = 2
	// writers is how many blocks are on their way to the file at most. A layer that has another one
	// waits.
	writers = 8
)

// Tier is a [tier.Tier] and a [tier.Place] in a file.
type Tier struct {
	store  *Store
	alloc  tier.Allocator
	layers []*layer
	shelf  *shelf       // nil until there is something to hold
	disk   atomic.Int64 // bytes of files that count for this tree
	bounce chan *buffer // one for each reader, for what cannot be read in place; nil: not yet allocated

	mu      sync.Mutex // guards the blocks and what follows
	free    map[int64][]*buffer
	memory  int64 // bytes of buffers
	failure error // of a write in the background

	writing sync.WaitGroup
	turns   chan struct{} // one for each write under way
}

var (
	_ tier.Tier  = (*Tier)(nil)
	_ tier.Place = (*Tier)(nil)
)

func newTier(s *Store, layouts []tier.Layout, alloc tier.Allocator) *Tier {
	t := &Tier{store: s, alloc: alloc, free: map[int64][]*buffer{}, turns: make(chan struct{}, writers), bounce: make(chan *buffer, readers)}
	for range readers {
		t.bounce <- nil
	}
	for i, l := range layouts {
		t.layers = append(t.layers, newLayer(i, l, s.align))
	}
	return t
}

// Reserve makes room in the file for whole runs of blocks of every layer.
func (t *Tier) Reserve(ctx context.Context, cells int) error {
	return t.Hold(ctx, tier.Run{N: cells})
}

// Hold makes room in the file for the cells of a run that have none.
func (t *Tier) Hold(ctx context.Context, cells tier.Run) error {
	first, end := blocksOf(cells)
	missing, some := make([]int, len(t.layers)), false
	for i, l := range t.layers {
		for b := first; b < end; b++ {
			if b >= len(l.blocks) || l.blocks[b].at == nil {
				missing[i]++
				some = true
			}
		}
	}
	if !some {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.room(missing); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		l.blocks = append(l.blocks, make([]block, max(0, end-len(l.blocks)))...)
		for b := first; b < end; b++ {
			if l.blocks[b].at == nil {
				l.blocks[b].at = t.spot(l)
			}
		}
	}
	return nil
}

// blocksOf returns the blocks in which cells lie.
func blocksOf(cells tier.Run) (first, end int) {
	return cells.Start / tier.BlockCells, (cells.End() + tier.BlockCells - 1) / tier.BlockCells
}

// Store keeps the cells of runs, read from src. The blocks that they lie in become open.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	l := t.layers[layer]
	for _, r := range runs {
		if r.N == 0 {
			continue
		}
		if err := l.check(r); err != nil {
			return err
		}
		for b := r.Start / tier.BlockCells; b*tier.BlockCells < r.End(); b++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			from, to := overlap(r, b)
			buffer, err := t.openBlock(ctx, l, b, to-from == tier.BlockCells)
			if err != nil {
				return err
			}
			l.read(src, buffer.bytes, b, from, to)
		}
	}
	return ctx.Err()
}

// openBlock returns the buffer of a block that rows are about to be stored to; whole says that all
// of them are. The block that this layer stored to least recently is written, if there are too
// many.
func (t *Tier) openBlock(ctx context.Context, l *layer, b int, whole bool) (*buffer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != nil {
		return nil, t.failure
	}
	block := &l.blocks[b]
	if err := t.written(ctx, block); err != nil {
		return nil, err
	}
	if err := t.prepare(l, block); err != nil {
		return nil, err
	}
	if block.buffer == nil {
		if err := t.load(l, b, whole); err != nil {
			return nil, err
		}
	}
	block.buffer.clean = false
	t.leave(block)
	if i := slices.Index(l.open, b); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = append(l.open, b)
	if len(l.open) > openBlocks {
		if err := t.evict(ctx, l, l.open[0]); err != nil {
			return nil, err
		}
	}
	return block.buffer, t.failure
}

// evict closes an open block: its buffer is given back when the file has the rows.
func (t *Tier) evict(ctx context.Context, l *layer, b int) error {
	if err := t.write(ctx, l, b); err != nil {
		return err
	}
	l.open = slices.DeleteFunc(l.open, func(open int) bool { return open == b })
	if l.blocks[b].buffer != nil {
		t.unused(l, b)
	}
	return nil
}

// written waits for the write of a block that is under way.
func (t *Tier) written(ctx context.Context, block *block) error {
	for block.buffer != nil && block.buffer.writing != nil {
		end := block.buffer.writing
		t.mu.Unlock()
		var err error
		select {
		case <-end:
		case <-ctx.Done():
			err = ctx.Err()
		}
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// load gives a block a buffer with its rows, or with anything if all of them are about to be
// stored.
func (t *Tier) load(l *layer, b int, whole bool) error {
	buffer, err := t.take(l.size)
	if err != nil {
		return fmt.Errorf("disk: layer %d: a buffer for the cells from %d on: %w", l.number, b*tier.BlockCells, err)
	}
	switch block := &l.blocks[b]; {
	case whole:
	case !block.at.inFile:
		clear(buffer.bytes)
	default:
		if err := t.readBlocks(l, newSpan(block.at, b, 0, tier.BlockCells), buffer.bytes); err != nil {
			t.giveBack(buffer)
			return err
		}
	}
	l.blocks[b].buffer = buffer
	return nil
}

// take returns a buffer for a block of some bytes.
func (t *Tier) take(size int64) (*buffer, error) {
	if n := len(t.free[size]); n > 0 {
		b := t.free[size][n-1]
		t.free[size] = t.free[size][:n-1]
		return b, nil
	}
	b, err := t.newBuffer(size)
	if err != nil {
		return nil, err
	}
	t.memory += int64(len(b.memory.Bytes()))
	return b, nil
}

func (t *Tier) newBuffer(size int64) (*buffer, error) {
	m, err := t.alloc(size + t.store.align)
	if err != nil {
		return nil, err
	}
	return &buffer{memory: m, bytes: alignedPart(m.Bytes(), size, t.store.align)}, nil
}

// giveBack keeps a buffer for the next block.
func (t *Tier) giveBack(b *buffer) {
	size := int64(len(b.bytes))
	t.free[size] = append(t.free[size], &buffer{memory: b.memory, bytes: b.bytes})
}

// write begins to write a block in the background, unless the file has it already.
func (t *Tier) write(ctx context.Context, l *layer, b int) error {
	t.mu.Unlock()
	var err error
	select {
	case t.turns <- struct{}{}:
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.mu.Lock()
	if err != nil {
		return err
	}
	buffer, at := l.blocks[b].buffer, l.blocks[b].at
	if buffer == nil || buffer.clean || buffer.writing != nil {
		<-t.turns
		return nil
	}
	buffer.writing = make(chan struct{})
	t.writing.Go(func() {
		defer func() { <-t.turns }()
		sum := crc32.Checksum(buffer.bytes[:l.content()], castagnoli)
		_, err := at.shelf.WriteAt(buffer.bytes, at.offset)
		t.mu.Lock()
		defer t.mu.Unlock()
		close(buffer.writing)
		buffer.writing = nil
		if err != nil { // the rows stay in memory, and nothing more is stored
			t.failure = fmt.Errorf("disk: layer %d: keeping the cells from %d on: %w", l.number, b*tier.BlockCells, err)
			return
		}
		t.store.written.Add(l.size)
		at.inFile, at.sum = true, sum
		buffer.clean = true
		t.unused(l, b)
	})
	return nil
}

// unused gives the buffer of a block back that is in the file, that is not open, and that no copy
// reads.
func (t *Tier) unused(l *layer, b int) {
	block := &l.blocks[b]
	if block.buffer.clean && block.buffer.pins == 0 && !slices.Contains(l.open, b) {
		t.giveBack(block.buffer)
		block.buffer = nil
	}
}

// Seal does nothing: package tier/stack finds what trees have in common.
func (t *Tier) Seal(ctx context.Context, _ int) error { return ctx.Err() }

// Usage returns the bytes of files and of the buffers in host memory. A block to which several trees
// refer counts for the one that has referred to it for longest.
func (t *Tier) Usage() tier.Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tier.Usage{Host: t.memory, Disk: t.disk.Load()}
}

// Close waits for the writes under way, and gives memory back, and the file as far as no other tree
// refers to blocks in it.
func (t *Tier) Close() error {
	t.writing.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	var spots []*spot
	for _, l := range t.layers {
		for _, b := range l.blocks {
			if b.buffer != nil {
				b.buffer.memory.Close()
			}
			spots = append(spots, b.spots()...)
		}
		l.blocks, l.open = nil, nil
	}
	t.giveBuffersBack()
	t.memory = 0
	err := t.releaseAll(spots)
	t.shelf = nil
	return err
}
