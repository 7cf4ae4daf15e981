package disk

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/seed4d217819/ebb/tier"
)

// readers is how many reads are under way at a time: one alone leaves a disk idle between reads.
const readers = 4

// span is blocks that one read fetches.
type span struct {
	first int      // block
	cells int      // wanted; whole blocks, unless there is only one
	sums  []uint32 // of each block
}

// arrival is a span that was read.
type arrival struct {
	span
	buffer *buffer // with its bytes; nil: they are in place already
	err    error
}

// Fetch copies the cells [0, n) of a layer into dst. Several goroutines read the blocks that are in
// the file, while this one copies those that are in memory. Only this one calls dst.Write.
func (t *Tier) Fetch(ctx context.Context, layer, n int, dst tier.Memory) error {
	if n > t.blocks*blockCells {
		return fmt.Errorf("disk: layer %d: %d cells are more than the %d reserved", layer, n, t.blocks*blockCells)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l := t.layers[layer]
	spans, pinned := t.plan(l, n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
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
	t.copyPinned(l, pinned, n, dst)
	var failure error
	for range spans {
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

// plan divides the first n cells of a layer into the spans that are read and the blocks that are
// copied: those in memory, which it pins, and those that are nowhere.
func (t *Tier) plan(l *layer, n int) (spans []span, pinned []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := 0; b*blockCells < n; b++ {
		block, cells := &l.blocks[b], min(n-b*blockCells, blockCells)
		if block.buffer != nil || !block.inFile {
			if block.buffer != nil {
				block.buffer.pins++
			}
			pinned = append(pinned, b)
			continue
		}
		if i := len(spans) - 1; i >= 0 && cells == blockCells && b%l.run != 0 && spans[i].first+len(spans[i].sums) == b {
			spans[i].cells += cells
			spans[i].sums = append(spans[i].sums, block.sum)
			continue
		}
		spans = append(spans, span{first: b, cells: cells, sums: []uint32{block.sum}})
	}
	return spans, pinned
}

// copyPinned copies blocks to dst: those in memory, and zeros for those that are nowhere.
func (t *Tier) copyPinned(l *layer, pinned []int, n int, dst tier.Memory) {
	var zeros []byte
	for _, b := range pinned {
		t.mu.Lock()
		buffer := l.blocks[b].buffer
		t.mu.Unlock()
		cells := min(n-b*blockCells, blockCells)
		if buffer == nil {
			if zeros == nil {
				zeros = make([]byte, l.size)
			}
			l.write(dst, zeros, b, cells)
			continue
		}
		l.write(dst, buffer.bytes, b, cells)
		t.mu.Lock()
		buffer.pins--
		t.unused(&l.blocks[b])
		t.mu.Unlock()
	}
}

// read reads a span straight into dst where that is possible, and otherwise into a buffer.
func (t *Tier) read(ctx context.Context, l *layer, s span, dst tier.Memory) arrival {
	if err := ctx.Err(); err != nil {
		return arrival{span: s, err: err}
	}
	if pieces, ok := t.scatter(l, s, dst); ok {
		read, err := t.file.ReadVector(pieces, l.offset(s.first))
		if err != nil {
			return arrival{span: s, err: l.unreadable(s.first, err)}
		}
		if read {
			each := len(pieces) / len(s.sums)
			for i, sum := range s.sums {
				if err := l.verify(s.first+i, sum, pieces[i*each:(i+1)*each]...); err != nil {
					return arrival{span: s, err: err}
				}
			}
			return arrival{span: s}
		}
	}
	buffer := <-t.bounce
	if buffer == nil {
		var err error
		if buffer, err = t.newBounce(); err != nil {
			t.bounce <- nil
			return arrival{span: s, err: err}
		}
	}
	return arrival{span: s, buffer: buffer, err: t.readBlocks(l, s, buffer.bytes)}
}

// scatter returns where in dst the bytes of a span go, in the order of the file.
func (t *Tier) scatter(l *layer, s span, dst tier.Memory) (pieces [][]byte, ok bool) {
	memory, ok := dst.(tier.Addressable)
	if !ok || s.cells%blockCells != 0 || l.content() != l.size {
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
	if _, err := t.file.ReadAt(b, l.offset(s.first)); err != nil {
		return l.unreadable(s.first, err)
	}
	for i, sum := range s.sums {
		if err := l.verify(s.first+i, sum, b[int64(i)*l.size:][:l.content()]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) unreadable(b int, err error) error {
	return fmt.Errorf("disk: layer %d: reading the cells from %d on: %w", l.number, b*blockCells, err)
}

// writeSpan copies a span to dst.
func (l *layer) writeSpan(dst tier.Memory, b []byte, s span) {
	for i := range s.sums {
		l.write(dst, b[int64(i)*l.size:], s.first+i, min(s.cells-i*blockCells, blockCells))
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
			l.number, ErrDamaged, b*blockCells, sum, want)
	}
	return nil
}

// newBounce returns a buffer that holds the longest span.
func (t *Tier) newBounce() (*buffer, error) {
	var longest int64
	for _, l := range t.layers {
		longest = max(longest, int64(l.run)*l.size)
	}
	b, err := t.newBuffer(longest)
	if err != nil {
		return nil, fmt.Errorf("disk: a buffer for reads: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory += int64(len(b.memory.Bytes()))
	return b, nil
}
