package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Copy returns a new sequence with the first n tokens of another one, in a tree of its own: all cells of
// that are there for it, and its steps fetch no others. Its rows are copied from wherever they are, and
// where tiers share blocks, those that both begin with are there once after its next step. States and
// snapshots are not copied: both sequences hold them.
//
// Where layers are recurrent, and the state after n tokens is not kept, the new sequence begins with the
// last one before that, or with none. The tokens behind it are [Seq.Pending]. Where not all rows behind
// windows are kept, it has those that there are.
//
// Copy waits until the sequence is restored and the open step is closed, and takes turns with steps of
// other sequences as [Pool.SavePart] does. The sequence that is copied stays as it is; to truncate, fork
// or step it meanwhile is [ErrReading], and a fork of it can go on. An error, [ErrFull] among them, and the
// end of ctx, leave nothing in the cache. The caller closes the sequence that it gets.
func (p *Pool) Copy(ctx context.Context, s *Seq, n int) (*Seq, error) {
	all := copying{pool: p, to: p.NewSeq()}
	r, err := p.beginReading(ctx, s, func(r *reading) error { return all.begin(ctx, r, n) })
	if err == nil {
		err = errors.Join(all.copy(ctx, r), r.end(func() {}))
	}
	if err != nil {
		return nil, fmt.Errorf("kv: copy: %w", errors.Join(err, all.to.Close()))
	}
	return all.to, nil
}

// copying is a sequence whose first tokens are being copied.
type copying struct {
	pool   *Pool
	to     *Seq
	tokens int // whose rows are copied
	from   int // no rows of windowed layers before are there
}

// begin gives the new sequence its memory, its tokens and its states.
func (c *copying) begin(ctx context.Context, r *reading, n int) error {
	p, s := c.pool, r.seq
	all := slices.Concat(s.tokens, s.pending)
	if n < 0 || n > len(all) {
		return fmt.Errorf("the first %d tokens of %d", n, len(all))
	}
	defer p.count()
	tokens, place := s.stateBefore(min(n, len(s.tokens)))
	c.tokens = tokens
	c.to.pending = slices.Clone(all[c.tokens:n])
	if c.tokens == 0 {
		return nil
	}
	if err := p.ensureMemory(ctx, c.to.tree, c.tokens); err != nil {
		return err
	}
	var widest int64
	for _, l := range p.config.keeps {
		widest = max(widest, p.config.layouts[l].RowBytes()*Block)
	}
	var err error
	if r.buffer, err = p.neededBuffer(p.devices[0], max(1, widest)); err != nil {
		return err
	}
	cells, _ := cutRuns(s.cells(), c.tokens)
	c.from = r.tree.keptFrom(listCells(cells))
	c.to.hold(all[:c.tokens])
	for _, ring := range c.to.tree.rings {
		ring.past.restored(c.from, c.tokens)
	}
	c.to.shareStatesOf(s, c.tokens, place)
	return nil
}

// stateBefore returns after how many tokens, n at most, the sequence has a state, and its place; nowhere:
// it is the snapshot's of so many tokens. Without recurrent layers that is n.
func (s *Seq) stateBefore(n int) (tokens, place int) {
	if s.pool.states == nil {
		return n, nowhere
	}
	if place := s.placeOf(n); place != nowhere {
		return n, place
	}
	for _, one := range slices.Backward(s.snapshots) {
		if one.tokens <= n && !one.coming.missed() {
			return one.tokens, one.place
		}
	}
	return 0, nowhere
}

// shareStatesOf gives a new sequence the state of another one after its tokens, and the snapshots up to
// there.
func (s *Seq) shareStatesOf(other *Seq, tokens, place int) {
	if s.pool.states == nil {
		return
	}
	s.state = place
	s.pool.states.hold(place)
	for _, one := range other.snapshots {
		if one.tokens <= tokens && !one.coming.missed() {
			one.holders++
			s.snapshots = append(s.snapshots, one)
		}
	}
}

// copy copies the rows, layer by layer.
func (c *copying) copy(ctx context.Context, r *reading) error {
	var rows []portion
	for number, l := range c.pool.config.keeps {
		for b := range (c.tokens + Block - 1) / Block {
			rows = append(rows, portion{layer: l, number: number, of: b, bytes: c.pool.config.layouts[l].RowBytes() * Block})
		}
	}
	return r.read(ctx, rows, func(these []portion, blocks [][]tier.Run) error {
		for _, one := range these {
			if err := c.copyBlock(ctx, r, one, blocks[one.of]); err != nil {
				return fmt.Errorf("layer %d: %w", one.layer, err)
			}
		}
		return nil
	}, func([]portion) error { return nil })
}

// copyBlock copies the rows of a block in a layer, during a turn.
func (c *copying) copyBlock(ctx context.Context, r *reading, one portion, cells []tier.Run) error {
	p, first := c.pool, one.of*Block
	p.hooks.copying()
	cells, _ = cutRuns(cells, min(Block, c.tokens-first)) // the other one may have more
	all, err := r.extents(ctx, one.layer, cells)
	if err != nil {
		return err
	}
	to := p.destinationOf(c.to.tree, one.layer, c.tokens, c.from)
	buffer := block{layout: to.layout, rows: r.buffer.Bytes()[:one.bytes], cells: Block}
	for _, e := range all {
		if err := to.copy(ctx, e, first, buffer); err != nil {
			return err
		}
		p.copied.Add(int64(e.cells.N) * to.layout.RowBytes())
	}
	return nil
}

// copy copies rows from wherever they are: straight to where they belong if one of both is memory of the
// host, and otherwise by way of a buffer for a block. first is the first cell of the block.
func (d destination) copy(ctx context.Context, e extent, first int, buffer block) error {
	cells := tier.Run{Start: first + e.at, N: e.cells.N}
	by := e.cells.Start - cells.Start
	switch {
	case d.region != nil && e.memory == nil:
		return e.tier.Fetch(ctx, e.number, e.cells, shifted{d.region, by})
	case d.region != nil && e.memory.memory != nil:
		return e.memory.Fetch(ctx, 0, e.cells, shifted{d.region, by})
	case d.region != nil && d.region.memory != nil:
		return d.region.Store(ctx, 0, []tier.Run{cells}, shifted{e.memory, -by})
	case d.region == nil && e.memory != nil:
		return d.store(ctx, cells, func(further int) tier.Memory { return shifted{e.memory, further - by} })
	}
	if err := e.to(ctx, buffer); err != nil {
		return err
	}
	buffer.cell = first
	return d.put(ctx, cells, buffer)
}
