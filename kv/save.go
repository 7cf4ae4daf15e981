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

// Sink is where [Pool.Save] writes a sequence, such as a file. What Rows and State get is valid until
// they return, and an error ends the call.
type Sink interface {
	// Begin is called first.
	Begin(Saved) error
	// Rows is called for each block of each layer of [Pool.Layouts], layer by layer.
	Rows(layer, block int, rows []byte) error
	// State is called for each recurrent layer of [Pool.StateSizes], with f32 values: first for the states
	// of all layers in the first snapshot, numbered 0, then in the next one, and last for those after
	// all Computed tokens, if no snapshot is of them and there are some.
	State(number, layer int, state []byte) error
}

// Save reads all rows and states of a sequence, and writes them to a sink. It waits until the sequence
// is restored and the open step is closed, and no other step begins before it returns. The tokens of the
// sequence stay as they are; if it begins with a snapshot that could not be restored, more are pending.
func (p *Pool) Save(ctx context.Context, s *Seq, to Sink) error {
	if s == nil || s.pool != p {
		return fmt.Errorf("kv: save: the sequence is not of this pool")
	}
	if err := s.Wait(ctx); err != nil {
		return fmt.Errorf("kv: save: %w", err)
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	saved, err := p.beginSave(s)
	if err != nil {
		return fmt.Errorf("kv: save: %w", err)
	}
	err = p.save(ctx, saved, to)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy = false
	saved.endStates()
	if !s.closed {
		return err
	}
	if dropped := s.drop(); err == nil {
		err = dropped
	}
	return err
}

// saved is a sequence as it is when its rows and states are read.
type saved struct {
	Saved
	tree   *tree
	runs   []tier.Run   // all its cells, in order
	states []savedState // those of Snapshots, and the last one
}

// beginSave keeps others from changing the sequence, and returns what it holds.
func (p *Pool) beginSave(s *Seq) (saved, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return saved{}, fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err := s.idle(); err != nil {
		return saved{}, err
	}
	if err := s.tree.lost(); err != nil {
		return saved{}, err
	}
	p.loseMissed(s)
	var runs []tier.Run
	if n := s.tree.sealed; n > 0 {
		runs = append(runs, tier.Run{N: n})
	}
	for _, r := range s.runs {
		runs = appendRun(runs, r)
	}
	p.drain() // what is fetched ahead stays useful
	s.busy = true
	all := Saved{Tokens: slices.Concat(s.tokens, s.pending), Computed: len(s.tokens), WindowFrom: s.tree.keptFrom(listCells(runs))}
	states := p.beginSaveStates(s, &all)
	return saved{all, s.tree, runs, states}, nil
}

func (p *Pool) save(ctx context.Context, s saved, to Sink) error {
	if err := to.Begin(s.Saved); err != nil {
		return err
	}
	blocks := blocksOf(s.runs)
	if len(blocks) == 0 {
		return nil
	}
	buffer, err := p.blockBuffer()
	if err != nil {
		return err
	}
	defer buffer.Close()
	for kept, l := range p.config.keeps {
		layout := p.config.layouts[l]
		rows := block{layout: layout, rows: buffer.Bytes()[:layout.RowBytes()*Block], cells: Block}
		for i, runs := range blocks {
			if i == len(blocks)-1 || s.WindowFrom > 0 {
				clear(rows.rows)
			}
			if err := p.readBlock(ctx, s.tree, l, runs, rows); err != nil {
				return fmt.Errorf("kv: save layer %d: %w", l, err)
			}
			if err := to.Rows(kept, i, rows.rows); err != nil {
				return err
			}
		}
	}
	return p.saveStates(ctx, s, to, buffer.Bytes())
}

// readBlock copies the cells of runs from where a layer's rows are.
func (p *Pool) readBlock(ctx context.Context, t *tree, layer int, runs []tier.Run, rows block) error {
	for _, r := range runs {
		if err := p.uninterrupted(ctx); err != nil {
			return err
		}
		rows.cell = r.Start
		at, region := p.placed[layer], t.regions[layer]
		var err error
		switch {
		case at.ring != nowhere:
			err = p.readWindowed(ctx, t, layer, r, rows)
		case region != nil:
			rows.from(region, r)
		default:
			err = t.rows[at.device.number].Fetch(ctx, at.tierLayer, r, rows)
		}
		if err != nil {
			return err
		}
		rows.at += r.N
	}
	return nil
}

// uninterrupted returns why copies should end, or nil.
func (p *Pool) uninterrupted(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("%w: the pool", ErrClosed)
	}
	return ctx.Err()
}

// blockBuffer allocates host memory for a block or a state of any layer. The caller closes it.
func (p *Pool) blockBuffer() (tier.Buffer, error) {
	var most int64
	for l, layout := range p.config.layouts {
		most = max(most, layout.RowBytes()*Block, p.config.shapes[l].StateBytes())
	}
	return p.hostBuffer(p.devices[0], most)
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
