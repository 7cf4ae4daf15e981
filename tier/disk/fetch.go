package disk

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/seed4d217819/ebb/tier"
)

// readers is how many reads are under way at a time: one alone leaves a disk idle between reads.
const readers = 4

// span is blocks that one read fetches: several whole ones, or a part of one.
type span struct {
	shelf    *shelf
	offset   int64    // in the file
	first    int      // block
	from, to int      // cells wanted, counted from the first block's first
	sums     []uint32 // of each block
}

// newSpan returns the cells [from, to) of a block in a file.
func newSpan(at *spot, block, from, to int) span {
	return span{shelf: at.shelf, offset: at.offset, first: block, from: from, to: to, sums: []uint32{at.sum}}
}

// arrival is a span that was read.
type arrival struct {
	span
	buffer *buffer // with its bytes; nil: they are in place already
	err    error
}

// Fetch copies cells of a layer into dst.
func (t *Tier) Fetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) error {
	return t.StartFetch(ctx, layer, cells, dst)()
}

// StartFetch starts to read the blocks of some cells that are in files, in several goroutines. The
// function that it returns copies the others meanwhile. Only that calls dst.Write.
func (t *Tier) StartFetch(ctx context.Context, layer int, cells tier.Run, dst tier.Memory) (finish func() error) {
	l := t.layers[layer]
	err := l.check(cells)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return func() error { return err }
	}
	spans, pinned := t.plan(l, cells)
	ctx, cancel := context.WithCancel(ctx)
	todo, arrivals := make(chan span, len(spans)), make(chan arrival)
	for _, s := range spans {
		todo <- s
	}
	close(todo)
	for range min(readers, len(spans)) {
		go func() {
			for s := range todo {
				arrivals <- t.read(ctx, l, s, dst)
			}
		}()
	}
	return func() error {
		defer cancel()
		t.copyPinned(l, pinned, cells, dst)
		return t.collect(l, arrivals, len(spans), dst, cancel)
	}
}

// collect copies spans that arrive in buffers to dst. After an error it only waits for the others.
func (t *Tier) collect(l *layer, arrivals <-chan arrival, n int, dst tier.Memory, cancel context.CancelFunc) (failure error) {
	for range n {
		a := <-arrivals
		if a.err != nil && failure == nil {
			failure = a.err
			cancel() // the other reads end early
		}
		if a.buffer == nil {
			continue
		}
		if a.err == nil {
			l.writeSpan(dst, a.buffer.bytes, a.span)
		}
		t.bounce <- a.buffer
	}
	return failure
}

// plan divides cells of a layer into the spans that are read and the blocks that are copied: those
// in memory, which it pins, and those that are nowhere.
func (t *Tier) plan(l *layer, cells tier.Run) (spans []span, pinned []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := cells.Start / tier.BlockCells; b*tier.BlockCells < cells.End(); b++ {
		block := &l.blocks[b]
		from, to := overlap(cells, b)
		if block.buffer != nil || !block.at.inFile {
			if block.buffer != nil {
				block.buffer.pins++
			}
			pinned = append(pinned, b)
			continue
		}
		if i := len(spans) - 1; i >= 0 && to-from == tier.BlockCells && len(spans[i].sums) < l.run && spans[i].endsAt(b, block.at) {
			spans[i].to += tier.BlockCells
			spans[i].sums = append(spans[i].sums, block.at.sum)
			continue
		}
		spans = append(spans, newSpan(block.at, b, from, to))
	}
	return spans, pinned
}

// endsAt reports whether a block follows the whole blocks of a span, also in the file.
func (s span) endsAt(b int, at *spot) bool {
	n := len(s.sums)
	return s.whole() && s.first+n == b && s.shelf == at.shelf && s.offset+int64(n)*at.size == at.offset
}

// whole reports whether all cells of the blocks are wanted.
func (s span) whole() bool { return s.from == 0 && s.to == len(s.sums)*tier.BlockCells }

// copyPinned copies the blocks in memory to dst, and writes zeros for the blocks that are nowhere.
func (t *Tier) copyPinned(l *layer, pinned []int, cells tier.Run, dst tier.Memory) {
	var zeros []byte
	for _, b := range pinned {
		t.mu.Lock()
		buffer := l.blocks[b].buffer
		t.mu.Unlock()
		from, to := overlap(cells, b)
		if buffer == nil {
			if zeros == nil {
				zeros = make([]byte, l.size)
			}
			l.write(dst, zeros, b, from, to)
			continue
		}
		l.write(dst, buffer.bytes, b, from, to)
		t.mu.Lock()
		buffer.pins--
		t.unused(l, b)
		t.mu.Unlock()
	}
}

// read reads a span straight into dst where that is possible, and otherwise into a buffer.
func (t *Tier) read(ctx context.Context, l *layer, s span, dst tier.Memory) arrival {
	if err := ctx.Err(); err != nil {
		return arrival{span: s, err: err}
	}
	if pieces, ok := t.scatter(l, s, dst); ok {
		read, err := s.shelf.ReadVector(pieces, s.offset)
		if err != nil {
			return arrival{span: s, err: l.unreadable(s.first, err)}
		}
		if read {
			t.store.read.Add(int64(len(s.sums)) * l.size)
			each := len(pieces) / len(s.sums)
			for i, sum := range s.sums {
				if err := l.verify(s.first+i, sum, pieces[i*each:(i+1)*each]...); err != nil {
					return arrival{span: s, err: err}
				}
			}
			return arrival{span: s}
		}
	}
	buffer, err := t.takeBounce()
	if err != nil {
		return arrival{span: s, err: err}
	}
	return arrival{span: s, buffer: buffer, err: t.readBlocks(l, s, buffer.bytes)}
}

// scatter returns where in dst the bytes of a span go, in the order of the file.
func (t *Tier) scatter(l *layer, s span, dst tier.Memory) (pieces [][]byte, ok bool) {
	memory, ok := dst.(tier.Addressable)
	if !ok || !s.whole() || l.content() != l.size {
		return nil, false
	}
	pieces = make([][]byte, 0, len(s.sums)*len(parts)*l.Heads)
	for i := range s.sums {
		if pieces, ok = l.scatter(pieces, memory, s.first+i, t.store.memoryAlign()); !ok {
			return nil, false
		}
	}
	return pieces, true
}

// readBlocks reads a span into memory that is laid out as the file.
func (t *Tier) readBlocks(l *layer, s span, b []byte) error {
	b = b[:int64(len(s.sums))*l.size]
	if _, err := s.shelf.ReadAt(b, s.offset); err != nil {
		return l.unreadable(s.first, err)
	}
	t.store.read.Add(int64(len(b)))
	for i, sum := range s.sums {
		if err := l.verify(s.first+i, sum, b[int64(i)*l.size:][:l.content()]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) unreadable(b int, err error) error {
	return fmt.Errorf("disk: layer %d: reading the cells from %d on: %w", l.number, b*tier.BlockCells, err)
}

// writeSpan copies a span to dst.
func (l *layer) writeSpan(dst tier.Memory, b []byte, s span) {
	for i := range s.sums {
		from, to := overlap(tier.Run{Start: s.from, N: s.to - s.from}, i)
		l.write(dst, b[int64(i)*l.size:], s.first+i, from, to)
	}
}

// verify compares the checksum of a block that was read, in pieces, with the one that was written.
func (l *layer) verify(b int, want uint32, pieces ...[]byte) error {
	sum := uint32(0)
	for _, p := range pieces {
		sum = crc32.Update(sum, castagnoli, p)
	}
	if sum != want {
		return fmt.Errorf("disk: layer %d: %w: the cells from %d on have the checksum %08x, and had %08x when they were written; check the disk",
			l.number, ErrDamaged, b*tier.BlockCells, sum, want)
	}
	return nil
}

// takeBounce returns a buffer for a read. The caller gives it back to the channel.
func (t *Tier) takeBounce() (*buffer, error) {
	if b := <-t.bounce; b != nil {
		return b, nil
	}
	b, err := t.newBounce()
	if err != nil {
		t.bounce <- nil
	}
	return b, err
}

// newBounce returns a buffer that holds the longest span.
func (t *Tier) newBounce() (*buffer, error) {
	var longest int64
	for _, l := range t.layers {
		longest = max(longest, int64(l.run)*l.size)
	}
	t.mu.Lock() // several reads may want one at a time, and an allocator serves one caller
	defer t.mu.Unlock()
	b, err := t.newBuffer(longest)
	if err != nil {
		return nil, fmt.Errorf("disk: a buffer for reads: %w", err)
	}
	t.memory += int64(len(b.memory.Bytes()))
	return b, nil
}
