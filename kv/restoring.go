package kv

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// restoring brings the rows and the state of a restored sequence to where they belong, layer after layer
// in the order of computation, while steps already compute. A step waits for a layer in [restoring.await], and
// so does a mover before it fetches one. That is all that steps need to know: a step writes its new
// rows of a layer after the layer has come, and whoever commits has gone through all layers.
//
// Several goroutines read a piece of the source each, and place it. They never take the pool's lock,
// as whoever holds it may wait for them. Until the first step has committed, all cells that are held
// are a prefix of those that are restored, so a truncation only lowers how many are wanted.
type restoring struct {
	source Source
	of     []int  // by layer of the model: the item that it waits for; nowhere: none
	items  []item // those of the layers, in their order, and then those of snapshots
	state  *restoredState
	buffer *ggml.Buffer
	hooks  *hooks
	bytes  *atomic.Int64 // read so far, of all restores

	wanted   atomic.Int64  // cells [0, wanted) are to be placed
	placing  sync.Mutex    // held while rows are placed
	changing *sync.RWMutex // the pool's, held for reading then

	there  []chan struct{} // by item: closed when it is there
	failed chan struct{}   // closed when err is set
	ended  chan struct{}   // closed when nothing is read any more and the buffer is given back
	cancel context.CancelFunc

	mu   sync.Mutex
	next piece // to be read
	left []int // by item: blocks that are not there yet
	err  error // why items that are not there will not come
}

// item is the rows or the state of one layer.
type item struct {
	layer  int // of the model
	number int // of the layer among those of the source that have rows, or states
	blocks int
	size   int64       // of a block in bytes
	rows   destination // the zero value where the item is a state
	coming *coming     // the snapshot whose state it is; nil: the sequence begins with it
}

// isState reports whether the item is a state, which is one block.
func (i item) isState() bool { return i.rows.layout == tier.Layout{} }

// piece is blocks of an item that one read brings.
type piece struct{ item, first, blocks int }

const (
	// mostReaders is how many pieces are read at a time: one alone leaves a disk idle between reads.
	// Where a block is large, two keep it busy.
	mostReaders = 4
	// pieceBytes is the least size of a piece, but for the last of a layer. Disks reach their full
	// rate with reads of this size.
	pieceBytes = 1 << 20
	// bufferBytes is how much memory the readers may take if there are more than two.
	bufferBytes = 8 << 20
)

// newRestoring prepares to restore the first n tokens of a new sequence, which has its memory, and the
// state after them, which has a number in the source.
func (p *Pool) newRestoring(s *Seq, n, number int, from Source) (*restoring, error) {
	t := s.tree
	r := &restoring{
		source: from, of: make([]int, len(p.placed)), hooks: &p.hooks, bytes: &p.restored, changing: &p.changing,
		failed: make(chan struct{}), ended: make(chan struct{}),
	}
	kept, recurrent := 0, 0
	for l, at := range p.placed {
		shape := p.config.shapes[l]
		r.of[l] = len(r.items)
		switch {
		case shape.keepsRows():
			r.add(item{layer: l, number: kept, blocks: (n + Block - 1) / Block, size: p.config.layouts[l].RowBytes() * Block, rows: p.destinationOf(t, l, n, windowFrom(from, n))})
			kept++
		case shape.State > 0:
			r.add(item{layer: l, number: recurrent, blocks: 1, size: 4 * int64(shape.State)})
			recurrent++
		case shape.Shares:
			r.of[l] = r.of[at.rows]
		default:
			r.of[l] = nowhere
		}
	}
	for _, ring := range t.rings {
		ring.past.restored(windowFrom(from, n), n)
	}
	r.wanted.Store(int64(n))
	d := p.devices[0] // plain memory: it is given back while devices compute
	var err error
	r.buffer, err = p.alloc(d, d.backend.PlainHostBufferType(), int64(r.readers())*r.bytesEach()+SourceAlign, ggml.HostRows)
	if err != nil {
		return nil, allocation(fmt.Errorf("a buffer to read with: %w", err))
	}
	if recurrent > 0 {
		r.state = p.restoredState(s, n, number)
	}
	return r, nil
}

// add adds an item.
func (r *restoring) add(i item) {
	r.items = append(r.items, i)
	r.there = append(r.there, make(chan struct{}))
	r.left = append(r.left, i.blocks)
}

// windowFrom returns from which of the first n tokens on windowed layers have rows in a source.
func windowFrom(from Source, n int) int {
	if w, ok := from.(interface{ WindowFrom() int }); ok {
		return min(max(0, w.WindowFrom()), n)
	}
	return 0
}

// readers returns how many pieces are read at a time.
func (r *restoring) readers() int { return max(2, min(mostReaders, int(bufferBytes/r.bytesEach()))) }

// bytesEach returns how much of the buffer each reader has: a multiple of SourceAlign.
func (r *restoring) bytesEach() int64 {
	most := int64(0)
	for _, i := range r.items {
		most = max(most, int64(i.perRead())*i.size)
	}
	return (most+SourceAlign-1)/SourceAlign*SourceAlign + SourceSlack
}

// perRead returns how many blocks of the item one read brings.
func (i item) perRead() int { return min(i.blocks, int((pieceBytes+i.size-1)/i.size)) }

// start starts the readers. Pinned, each has a thread of its own, as movers have.
func (r *restoring) start(pinned bool) {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	memory, each := r.buffer.Bytes()[r.buffer.Aligned(SourceAlign):], r.bytesEach()
	var reading sync.WaitGroup
	for i := range int64(r.readers()) {
		reading.Go(func() {
			if pinned {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			r.read(ctx, memory[i*each:][:each])
		})
	}
	go func() {
		reading.Wait()
		cancel()
		r.buffer.Close()
		_ = r.source.Close() // all that was wanted of it is there or has failed
		close(r.ended)
	}()
}

// read brings one piece after the other, until none is left or one fails.
func (r *restoring) read(ctx context.Context, buffer []byte) {
	for {
		p, ok := r.take()
		if !ok {
			return
		}
		if err := r.bring(ctx, p, buffer); err != nil {
			r.fail(fmt.Errorf("kv: restore layer %d: %w", r.items[p.item].layer, err))
			return
		}
		r.came(p)
	}
}

// take returns the piece that is to be read next.
func (r *restoring) take() (p piece, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.next.item == len(r.items) {
		return piece{}, false
	}
	p = r.next
	i := r.items[p.item]
	p.blocks = min(i.perRead(), i.blocks-p.first)
	r.next.first += p.blocks
	if r.next.first == i.blocks {
		r.next = piece{item: p.item + 1}
	}
	return p, true
}

// bring reads a piece, as far as it is wanted, and places it.
func (r *restoring) bring(ctx context.Context, p piece, buffer []byte) error {
	i := r.items[p.item]
	switch {
	case i.coming != nil:
		r.bringSnapshot(ctx, i, buffer)
		return nil
	case i.isState():
		return r.bringState(ctx, i, buffer)
	}
	cells := int(r.wanted.Load()) - p.first*Block
	if cells <= 0 || (p.first+p.blocks)*Block <= i.rows.from {
		return nil
	}
	p.blocks = min(p.blocks, (cells+Block-1)/Block)
	rows, err := r.source.Read(ctx, i.number, p.first, p.blocks, buffer)
	if err != nil {
		return err
	}
	if i.rows.region != nil { // beside the others, while one of them places its rows
		i.rows.region.populate(tier.Run{Start: p.first * Block, N: min(p.blocks*Block, cells)})
	}
	return r.place(len(rows), func() error {
		for b := range p.blocks {
			first := (p.first + b) * Block
			cells := tier.Run{Start: first, N: min(Block, int(r.wanted.Load())-first)}
			if cells.N <= 0 {
				break // they were cut off meanwhile
			}
			if err := i.rows.put(ctx, cells, block{layout: i.rows.layout, rows: rows[int64(b)*i.size:][:i.size], cells: Block, cell: first}); err != nil {
				return err
			}
		}
		return nil
	})
}

// place copies bytes that were read to where they belong.
func (r *restoring) place(bytes int, put func() error) error {
	r.bytes.Add(int64(bytes))
	r.hooks.copying()
	r.changing.RLock()
	defer r.changing.RUnlock()
	r.placing.Lock()
	defer r.placing.Unlock()
	return put()
}

// came counts a piece that is there.
func (r *restoring) came(p piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[p.item] -= p.blocks
	if r.left[p.item] == 0 {
		close(r.there[p.item])
	}
}

// fail ends the restore with an error. The first one counts.
func (r *restoring) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	r.err = err
	close(r.failed)
	r.cancel()
}

// failure returns why rows have not come and will not, or nil.
func (r *restoring) failure() error {
	select {
	case <-r.failed:
		return r.err
	default:
		return nil
	}
}

// await waits until the rows and the state of a layer of the model are there.
func (r *restoring) await(ctx context.Context, layer int) error {
	if r.of[layer] == nowhere {
		return nil
	}
	return r.awaitItem(ctx, r.of[layer])
}

// awaitItem waits until an item is there.
func (r *restoring) awaitItem(ctx context.Context, item int) error {
	select {
	case <-r.there[item]:
		return nil
	default:
	}
	select {
	case <-r.there[item]:
		return nil
	case <-r.failed:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait waits until all items are there.
func (r *restoring) wait(ctx context.Context) error {
	for i := range r.there {
		if err := r.awaitItem(ctx, i); err != nil {
			return err
		}
	}
	return nil
}
