package kv

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Rows leave a cache and come back in blocks: those of [Block] tokens of a layer, in the order of the
// tokens, all keys before all values, one KV head after the other. Behind the last token a block holds
// zeros.

// Layouts returns the bytes of the rows of each layer that keeps some: those that share another's are
// left out, and the layers behind them are numbered without them.
func (p *Pool) Layouts() []tier.Layout {
	layouts := make([]tier.Layout, len(p.config.keeps))
	for i, l := range p.config.keeps {
		layouts[i] = p.config.layouts[l]
	}
	return layouts
}

// StateSizes returns how many bytes a state has in each recurrent layer, in the order of the layers.
func (p *Pool) StateSizes() (sizes []int64) {
	for _, s := range p.config.shapes {
		if s.State > 0 {
			sizes = append(sizes, 4*int64(s.State))
		}
	}
	return sizes
}

// Saved is what is saved of a sequence.
type Saved struct {
	Tokens   []int32 // all, with those of [Seq.Pending]
	Computed int     // tokens that have rows: those before the pending ones
	// WindowFrom is the first token from which on layers with windows have rows, where not all are kept
	// ([Options.WindowRows]). Whoever restores the sequence is not to use those of earlier tokens.
	WindowFrom int
	// Snapshots are the numbers of tokens, ascending, after which the sequence has snapshots of the states
	// of recurrent layers.
	Snapshots []int
}

// SaveOptions say what of a sequence is saved, and in which order. The zero value is all of it, layer by
// layer.
type SaveOptions struct {
	// FirstBlock is the first block whose rows are saved: those before are kept elsewhere already.
	FirstBlock int
	// ByBlock is the order of rows: all layers of the first block, then all of the next one.
	ByBlock bool
	// Snapshot reports whether the snapshot after so many tokens is saved; nil: all are. The state with
	// which the sequence goes on is saved in any case. It is called with the pool locked, and calls
	// nothing of it.
	Snapshot func(tokens int) bool
}

// Sink is where [Pool.Save] writes a sequence, such as a file. What Rows and State get is valid until
// they return, and an error ends the call. None of them holds up a step, however long it takes, unless
// rows behind windows are bounded: see [Pool.SavePart].
type Sink interface {
	// Begin is called first.
	Begin(Saved) error
	// Rows is called for each block of each layer of [Pool.Layouts], layer by layer, or block by block.
	Rows(layer, block int, rows []byte) error
	// State is called for each recurrent layer of [Pool.StateSizes], with f32 values: first for the states
	// of all layers in the first snapshot, numbered 0, then in the next one, and last for those after
	// all Computed tokens, if no snapshot is of them and there are some.
	State(number, layer int, state []byte) error
}

// Save is [Pool.SavePart] of all that a sequence has.
func (p *Pool) Save(ctx context.Context, s *Seq, to Sink) error {
	return p.SavePart(ctx, s, SaveOptions{}, to)
}

// SavePart reads rows and states of a sequence, and writes them to a sink. It waits until the sequence is
// restored and the open step is closed. Steps of other sequences begin meanwhile: they wait while at most
// 16 MiB are read, or one block of a layer if that is larger, and not while the sink writes them. Where
// the tree has further sequences, and [Options.WindowRows] bounds what is kept behind windows, no step
// begins before SavePart returns.
//
// The sequence stays as it is: to truncate, fork or step it meanwhile is [ErrReading], and closing it
// takes effect when SavePart returns. To save a sequence that goes on, save a fork of it. If the sequence
// begins with a snapshot that could not be restored, more of its tokens are pending.
func (p *Pool) SavePart(ctx context.Context, s *Seq, o SaveOptions, to Sink) error {
	if o.FirstBlock < 0 {
		return fmt.Errorf("kv: save from block %d on: want at least 0", o.FirstBlock)
	}
	var all saved
	r, err := p.beginReading(ctx, s, func(r *reading) error {
		all = p.beginSave(r, o)
		if len(all.portions) == 0 {
			return nil
		}
		var err error
		if r.buffer, err = p.readBuffer(all.portions); err != nil {
			all.endStates(p)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kv: save: %w", err)
	}
	err = all.save(ctx, r, to)
	if ended := r.end(func() { all.endStates(p) }); err == nil {
		err = ended
	}
	return err
}

// saved is a sequence as it is when its rows and states are read.
type saved struct {
	Saved
	portions []portion    // in the order in which they are saved
	states   []savedState // those of Snapshots, and the last one
}

// beginSave lists what is to be saved.
func (p *Pool) beginSave(r *reading, o SaveOptions) (all saved) {
	s := r.seq
	all.Saved = Saved{Tokens: slices.Concat(s.tokens, s.pending), Computed: r.tokens, WindowFrom: r.tree.keptFrom(listCells(s.cells()))}
	blocks := (r.tokens + Block - 1) / Block
	rows := func(number, of int) {
		layer := p.config.keeps[number]
		all.portions = append(all.portions, portion{layer: layer, number: number, of: of, bytes: p.config.layouts[layer].RowBytes() * Block})
	}
	if o.ByBlock {
		for b := o.FirstBlock; b < blocks; b++ {
			for number := range p.config.keeps {
				rows(number, b)
			}
		}
	} else {
		for number := range p.config.keeps {
			for b := o.FirstBlock; b < blocks; b++ {
				rows(number, b)
			}
		}
	}
	p.beginSaveStates(s, o, &all)
	return all
}

// save reads what is listed, and writes it to a sink.
func (s *saved) save(ctx context.Context, r *reading, to Sink) error {
	if err := to.Begin(s.Saved); err != nil {
		return err
	}
	return r.read(ctx, s.portions, func(these []portion, blocks [][]tier.Run) error {
		buffer := r.buffer.Bytes()
		for _, one := range these {
			if err := s.readPortion(ctx, r, one, blocks, buffer[:one.bytes]); err != nil {
				return err
			}
			buffer = buffer[one.bytes:]
		}
		return nil
	}, func(these []portion) error {
		buffer := r.buffer.Bytes()
		for _, one := range these {
			write, bytes := to.Rows, buffer[:one.bytes]
			if one.state {
				write, bytes = func(layer, number int, state []byte) error { return to.State(number, layer, state) }, bytes[:4*r.pool.config.shapes[one.layer].State]
			}
			if err := write(one.number, one.of, bytes); err != nil {
				return err
			}
			buffer = buffer[one.bytes:]
		}
		return nil
	})
}

// readPortion copies a portion to a buffer of its size.
func (s *saved) readPortion(ctx context.Context, r *reading, one portion, blocks [][]tier.Run, buffer []byte) error {
	if one.state {
		from := s.states[one.of]
		if err := r.pool.readSaved(ctx, from, one.layer, buffer); err != nil {
			return fmt.Errorf("kv: save the state of layer %d after %d tokens: %w", one.layer, from.tokens, err)
		}
		return nil
	}
	if one.of == len(blocks)-1 || s.WindowFrom > 0 {
		clear(buffer)
	}
	rows := block{layout: r.pool.config.layouts[one.layer], rows: buffer, cells: Block}
	all, err := r.extents(ctx, one.layer, blocks[one.of])
	for i := 0; err == nil && i < len(all); i++ {
		err = all[i].to(ctx, rows)
	}
	if err != nil {
		return fmt.Errorf("kv: save layer %d: %w", one.layer, err)
	}
	return nil
}

// readBuffer allocates host memory for what is read in one turn. The caller closes it.
func (p *Pool) readBuffer(all []portion) (tier.Buffer, error) {
	var largest, sum int64
	for _, one := range all {
		largest, sum = max(largest, one.bytes), sum+one.bytes
	}
	return p.neededBuffer(p.devices[0], max(largest, min(sum, p.turnBytes)))
}

// blocksOf divides cells, in the order of their tokens, into those of each block.
func blocksOf(runs []tier.Run) (blocks [][]tier.Run) {
	for len(runs) > 0 {
		var these []tier.Run
		these, runs = cutRuns(runs, Block)
		blocks = append(blocks, these)
	}
	return blocks
}

// block is rows, mostly those of a block, as a memory for cells: the cell given by number has those of
// token at.
type block struct {
	layout   tier.Layout
	rows     []byte
	cells    int // for which rows has room
	cell, at int
}

// part returns the rows of one part from a cell on, and the distance between heads.
func (b block) part(p tier.Part, cell int) (rows []byte, stride int64) {
	return b.layout.Part(b.rows, b.cells, p, b.at+cell-b.cell)
}

// Write copies cells of every head to the block.
func (b block) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	rows, apart := b.part(p, cell)
	size := int64(n) * b.layout.Piece(p)
	for h := range int64(b.layout.Heads) {
		copy(rows[h*apart:][:size], buf[h*stride:][:size])
	}
}

// Read copies cells of every head from the block.
func (b block) Read(p tier.Part, cell, n int, buf []byte, stride int64) {
	rows, apart := b.part(p, cell)
	size := int64(n) * b.layout.Piece(p)
	for h := range int64(b.layout.Heads) {
		copy(buf[h*stride:][:size], rows[h*apart:][:size])
	}
}

// from copies cells from a memory to the block.
func (b block) from(r tier.Memory, cells tier.Run) {
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		rows, stride := b.part(p, cells.Start)
		r.Read(p, cells.Start, cells.N, rows, stride)
	}
}

// to copies cells from the block to a region.
func (b block) to(r *region, cells tier.Run) {
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		rows, stride := b.part(p, cells.Start)
		r.Write(p, cells.Start, cells.N, rows, stride)
	}
}
