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

// Save reads all rows of a sequence. It calls begin once with the sequence's tokens, and then write for
// each block of each layer of [Pool.Layouts], layer by layer. The rows are valid until write returns. An
// error of either ends the call. Save waits until the sequence is restored and the open step is closed,
// and no other step begins before it returns; what the sequence holds stays as it is.
//
// Where layers with windows do not keep all rows ([Options.WindowRows]), from is the first token from
// which on all layers have them. Whoever restores the sequence is not to use those of earlier tokens in
// such layers.
func (p *Pool) Save(ctx context.Context, s *Seq, begin func(tokens []int32, from int) error, write func(layer, block int, rows []byte) error) error {
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
	err = p.save(ctx, saved, func(tokens []int32) error { return begin(tokens, saved.from) }, write)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy = false
	if !s.closed {
		return err
	}
	if dropped := s.drop(); err == nil {
		err = dropped
	}
	return err
}

// saved is a sequence as it is when its rows are read.
type saved struct {
	tree   *tree
	tokens []int32
	runs   []tier.Run // all its cells, in order
	from   int        // the first token whose rows windowed layers have
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
	var runs []tier.Run
	if n := s.tree.sealed; n > 0 {
		runs = append(runs, tier.Run{N: n})
	}
	for _, r := range s.runs {
		runs = appendRun(runs, r)
	}
	p.drain() // what is fetched ahead stays useful
	s.busy = true
	return saved{s.tree, slices.Clone(s.tokens), runs, s.tree.keptFrom(listCells(runs))}, nil
}

func (p *Pool) save(ctx context.Context, s saved, begin func([]int32) error, write func(layer, block int, rows []byte) error) error {
	if err := begin(s.tokens); err != nil {
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
			if i == len(blocks)-1 || s.from > 0 {
				clear(rows.rows)
			}
			if err := p.readBlock(ctx, s.tree, l, runs, rows); err != nil {
				return fmt.Errorf("kv: save layer %d: %w", l, err)
			}
			if err := write(kept, i, rows.rows); err != nil {
				return err
			}
		}
	}
	return nil
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

// blockBuffer allocates host memory for a block of any layer. The caller closes it.
func (p *Pool) blockBuffer() (tier.Buffer, error) {
	var widest int64
	for _, l := range p.config.layouts {
		widest = max(widest, l.RowBytes())
	}
	return p.hostBuffer(p.devices[0], widest*Block)
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
