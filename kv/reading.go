package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// A sequence that is saved or copied is read in turns, between which steps of other sequences begin. Its
// tokens stay as they are meanwhile, but a step may have its rows moved: layers leave their device, trees
// grow, rows that forks share are put in order. So each turn looks anew where they lie.

// ErrReading is returned for a sequence that is being saved or copied: it cannot be changed meanwhile, and
// takes part in no step. A fork of it, made before, can go on.
var ErrReading = errors.New("kv: the sequence is being saved or copied: wait until that ends, or cancel it")

// turnBytes is how much of a sequence is read between two steps. Steps of a cache that does not fit its
// device take tens of milliseconds and more: this takes a few from memory, and 10 to 20 from a disk. With
// much less, a sequence of some GB would take thousands of steps.
const turnBytes = 16 << 20

// reading is a sequence that is being read.
type reading struct {
	pool   *Pool
	seq    *Seq
	tree   *tree
	tokens int  // that have rows
	keeps  bool // the turn, until all is read
	buffer tier.Buffer
}

// portion is what is read at a time: the rows of a block in one layer, or a state of one layer.
type portion struct {
	layer  int // of the model
	number int // of the layer among those that have rows, or states
	of     int // the block, or the number of the state
	state  bool
	bytes  int64 // of the buffer
}

// beginReading waits until a sequence is restored and the open step is closed, and keeps others from
// changing the sequence. prepare is called when that is so, with the pool locked and the turn held. After
// an error nothing is held; otherwise the caller ends the reading.
func (p *Pool) beginReading(ctx context.Context, s *Seq, prepare func(*reading) error) (*reading, error) {
	if s == nil || s.pool != p {
		return nil, errors.New("the sequence is not of this pool")
	}
	if err := s.Wait(ctx); err != nil {
		return nil, err
	}
	r := &reading{pool: p, seq: s}
	if err := r.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer p.tell()
	began := false
	defer func() {
		if !began || !r.keeps { // also after a panic
			r.giveTurn()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err := s.unused(); err != nil {
		return nil, err
	}
	if err := s.tree.lost(); err != nil {
		return nil, err
	}
	p.loseMissed(s)
	p.drain() // what is fetched ahead stays useful
	r.tree, r.tokens = s.tree, len(s.tokens)
	r.keeps = r.tree.pastSize > 0 && len(r.tree.seqs) > 1 // in any step of the others, rows behind windows may go
	if err := prepare(r); err != nil {
		return nil, err
	}
	s.readers++
	p.reading.Add(1)
	began = true
	return r, nil
}

// end lets others change the sequence, and drops it if it was closed meanwhile. last is called with the
// pool locked.
func (r *reading) end(last func()) (err error) {
	p := r.pool
	if r.buffer != nil {
		r.buffer.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last()
	if r.seq.readers--; r.seq.readers == 0 && r.seq.closed {
		err = r.seq.drop()
	}
	if r.keeps {
		r.giveTurn()
	}
	p.reading.Done()
	return err
}

func (r *reading) takeTurn(ctx context.Context) error {
	select {
	case r.pool.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reading) giveTurn() { <-r.pool.turn }

// read goes through portions in order, as many in a turn as the bytes of one allow. read is called during
// the turn, with the cells of each block, and done behind it: what takes long there holds up no step.
func (r *reading) read(ctx context.Context, all []portion, read func(these []portion, blocks [][]tier.Run) error, done func(these []portion) error) error {
	for len(all) > 0 {
		n, bytes := 1, all[0].bytes
		for n < len(all) && bytes+all[n].bytes <= r.pool.turnBytes {
			bytes += all[n].bytes
			n++
		}
		these := all[:n]
		if err := r.inTurn(ctx, func(blocks [][]tier.Run) error { return read(these, blocks) }); err != nil {
			return err
		}
		if err := done(these); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// inTurn calls f during a turn, with the cells of each block of the sequence. No rows are moved meanwhile,
// and none are fetched ahead.
func (r *reading) inTurn(ctx context.Context, f func(blocks [][]tier.Run) error) error {
	if !r.keeps {
		if err := r.takeTurn(ctx); err != nil {
			return err
		}
		defer r.giveTurn()
	}
	blocks, err := r.ready(ctx)
	if err != nil {
		return err
	}
	return f(blocks)
}

// ready returns the cells of the sequence, block by block, or why it cannot be read any more.
func (r *reading) ready(ctx context.Context) ([][]tier.Run, error) {
	p, s := r.pool, r.seq
	p.mu.Lock()
	defer p.mu.Unlock()
	switch err := r.tree.lost(); {
	case p.closed:
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case len(s.tokens) != r.tokens:
		return nil, fmt.Errorf("the state after %d tokens could not be read: tokens from %d on are to be computed again", r.tokens, len(s.tokens))
	}
	p.drain()
	return blocksOf(s.cells()), nil
}

// cells returns the cells of the sequence's tokens, in order.
func (s *Seq) cells() (runs []tier.Run) {
	if n := s.tree.sealed; n > 0 {
		runs = append(runs, tier.Run{N: n})
	}
	for _, r := range s.runs {
		runs = appendRun(runs, r)
	}
	return runs
}

// extent is rows of a layer that lie together, in memory or in a tier.
type extent struct {
	memory *region // nil: they are in the tier
	tier   tier.Tier
	number int      // of the layer there
	cells  tier.Run // where they lie: cells, or places of a ring
	at     int      // number of the first one among those that were asked for
}

// extents lists where the rows of some cells lie in a layer, in their order. Rows that a windowed layer
// does not keep are left out.
func (r *reading) extents(ctx context.Context, layer int, cells []tier.Run) (all []extent, err error) {
	p, t := r.pool, r.tree
	p.mu.Lock() // sequences of the tree may be truncated meanwhile
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	}
	at, n := p.placed[layer], 0
	for _, run := range cells {
		switch region := t.regions[layer]; {
		case at.ring != nowhere:
			all = p.windowedExtents(t, layer, run, n, all)
		case region != nil:
			all = append(all, extent{memory: region, cells: run, at: n})
		default:
			all = append(all, extent{tier: t.rows[at.device.number], number: at.tierLayer, cells: run, at: n})
		}
		n += run.N
	}
	return all, ctx.Err()
}

// windowedExtents appends where the rows of cells lie in a windowed layer: in its ring, or in its tier if
// they are not there. n is the number of the first cell.
func (p *Pool) windowedExtents(t *tree, layer int, cells tier.Run, n int, all []extent) []extent {
	at := p.placed[layer]
	ring, rows := t.rings[at.ring], t.ringRows[layer]
	for c := cells.Start; c < cells.End(); c++ {
		one := extent{memory: rows, cells: tier.Run{Start: ring.place(c), N: 1}, at: n + c - cells.Start}
		if one.cells.Start == nowhere {
			if !ring.past.has(c) {
				continue
			}
			one.memory, one.tier, one.number = nil, t.past[at.device.number], at.pastLayer
			one.cells.Start = ring.past.at(c)
		}
		if len(all) > 0 {
			last := &all[len(all)-1]
			if last.memory == one.memory && last.cells.End() == one.cells.Start && last.at+last.cells.N == one.at {
				last.cells.N++
				continue
			}
		}
		all = append(all, one)
	}
	return all
}

// to copies the rows to a block, in which those that were asked for begin at its token at.
func (e extent) to(ctx context.Context, b block) error {
	b.cell, b.at = e.cells.Start, b.at+e.at
	if e.memory != nil {
		b.from(e.memory, e.cells)
		return nil
	}
	return e.tier.Fetch(ctx, e.number, e.cells, b)
}
