package disk

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"syscall"

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

// Tier is a [tier.Tier] in a file.
type Tier struct {
	store  *Store
	alloc  tier.Allocator
	layers []*layer
	blocks int  // of each layer, that there is room for
	file   file // nil until the first Reserve
	end    int64
	bounce chan *buffer // one for each reader, for what cannot be read in place; nil: not yet allocated

	mu      sync.Mutex // guards the blocks and what follows
	free    map[int64][]*buffer
	memory  int64 // bytes of buffers
	failure error // of a write in the background

	writing sync.WaitGroup
	turns   chan struct{} // one for each write under way
}

var _ tier.Tier = (*Tier)(nil)

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
	blocks := (cells + tier.BlockCells - 1) / tier.BlockCells
	if blocks <= t.blocks {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	end := t.end
	for _, l := range t.layers {
		end += int64(t.missing(l, blocks)) * int64(l.run) * l.size
	}
	if err := t.extend(end); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		for range t.missing(l, blocks) {
			l.runs = append(l.runs, t.end)
			t.end += int64(l.run) * l.size
		}
		l.blocks = append(l.blocks, make([]block, blocks-len(l.blocks))...)
	}
	t.blocks = blocks
	return nil
}

// missing returns how many more runs a layer needs for its blocks.
func (t *Tier) missing(l *layer, blocks int) int { return (blocks+l.run-1)/l.run - len(l.runs) }

// extend makes the file longer. On an error it is as it was.
func (t *Tier) extend(end int64) (err error) {
	if t.file == nil {
		if t.file, err = t.store.open(); err != nil {
			return err
		}
	}
	if end == t.end {
		return nil
	}
	if err := t.store.take(end - t.end); err != nil {
		return err
	}
	if err := t.file.Extend(t.end, end); err != nil {
		t.store.give(end - t.end)
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w: %w", tier.ErrFull, err)
		}
		return errors.Join(err, t.file.Shrink(t.end))
	}
	return nil
}

// Store keeps the cells of runs, read from src. The blocks that they lie in become open.
func (t *Tier) Store(ctx context.Context, layer int, runs []tier.Run, src tier.Memory) error {
	l := t.layers[layer]
	for _, r := range runs {
		if r.N == 0 {
			continue
		}
		if r.End() > t.blocks*tier.BlockCells {
			return fmt.Errorf("disk: layer %d: cells %v are past the %d reserved", layer, r, t.blocks*tier.BlockCells)
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
	if block.buffer == nil {
		if err := t.load(l, b, whole); err != nil {
			return nil, err
		}
	}
	if i := slices.Index(l.open, b); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = append(l.open, b)
	if len(l.open) > openBlocks {
		if err := t.write(ctx, l, l.open[0]); err != nil {
			return nil, err
		}
	}
	return block.buffer, t.failure
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
	case !block.inFile:
		clear(buffer.bytes)
	default:
		if err := t.readBlocks(l, span{first: b, sums: []uint32{block.sum}}, buffer.bytes); err != nil {
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

// write begins to write a block that is open, in the background.
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
	l.open = slices.DeleteFunc(l.open, func(open int) bool { return open == b })
	buffer, offset := l.blocks[b].buffer, l.offset(b)
	buffer.writing = make(chan struct{})
	t.writing.Go(func() {
		defer func() { <-t.turns }()
		sum := crc32.Checksum(buffer.bytes[:l.content()], castagnoli)
		_, err := t.file.WriteAt(buffer.bytes, offset)
		t.mu.Lock()
		defer t.mu.Unlock()
		close(buffer.writing)
		buffer.writing = nil
		if err != nil { // the rows stay in memory, and nothing more is stored
			t.failure = fmt.Errorf("disk: layer %d: keeping the cells from %d on: %w", l.number, b*tier.BlockCells, err)
			return
		}
		t.store.written.Add(l.size)
		l.blocks[b].inFile, l.blocks[b].sum = true, sum
		buffer.clean = true
		t.unused(&l.blocks[b])
	})
	return nil
}

// unused gives the buffer of a block back that is in the file and that no copy reads.
func (t *Tier) unused(b *block) {
	if b.buffer.clean && b.buffer.pins == 0 {
		t.giveBack(b.buffer)
		b.buffer = nil
	}
}

// Usage returns the bytes of the file and of the buffers in host memory.
func (t *Tier) Usage() tier.Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tier.Usage{Host: t.memory, Disk: t.end}
}

// Close waits for the writes under way, and gives file and memory back.
func (t *Tier) Close() error {
	t.writing.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.layers {
		for _, b := range l.blocks {
			if b.buffer != nil {
				b.buffer.memory.Close()
			}
		}
		l.blocks, l.runs, l.open = nil, nil, nil
	}
	for _, free := range t.free {
		for _, b := range free {
			b.memory.Close()
		}
	}
	clear(t.free)
	for range readers {
		if b := <-t.bounce; b != nil {
			b.memory.Close()
		}
		t.bounce <- nil
	}
	t.store.give(t.end)
	t.blocks, t.end, t.memory = 0, 0, 0
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
