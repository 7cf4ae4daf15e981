package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
)

// Restore returns a new sequence with these tokens, whose rows read delivers: it fills rows with a
// block of a layer, as [Pool.Save] gave it. Blocks are read layer by layer. After an error nothing is
// left of the sequence; [ErrFull] says that the tokens have no room. Restore waits for the open step
// to be closed, and no other begins before it returns. The caller closes the sequence.
func (p *Pool) Restore(ctx context.Context, tokens []int32, read func(layer, block int, rows []byte) error) (*Seq, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.turn }()
	s := p.NewSeq()
	err := p.beginRestore(ctx, s, tokens)
	if err == nil {
		err = p.restore(ctx, s, read)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy = false
	if err == nil && p.closed {
		err = fmt.Errorf("%w: the pool", ErrClosed)
	}
	if err != nil {
		s.closed = true
		err = errors.Join(fmt.Errorf("kv: restore: %w", err), s.drop())
	}
	p.count()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// beginRestore gives a sequence its tokens, and their cells [0, len(tokens)) without rows.
func (p *Pool) beginRestore(ctx context.Context, s *Seq, tokens []int32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := len(tokens); {
	case p.closed:
		return fmt.Errorf("%w: the pool", ErrClosed)
	case n > p.config.capacity:
		return fmt.Errorf("%w: %d tokens, room for %d", ErrFull, n, p.config.capacity)
	case n == 0:
		return nil
	}
	s.busy = true
	t := s.tree
	if err := p.ensureMemory(ctx, t, len(tokens)); err != nil {
		return err
	}
	s.tokens, s.runs = slices.Clone(tokens), t.take(len(tokens), nil)
	for _, r := range t.regions {
		if r != nil {
			r.zero(min(plan.WholeBlocks(t.high), r.cells))
		}
	}
	p.drain() // it fetches ahead from other trees, and a link is one
	return nil
}

func (p *Pool) restore(ctx context.Context, s *Seq, read func(layer, block int, rows []byte) error) error {
	if len(s.tokens) == 0 {
		return nil
	}
	buffer, err := p.blockBuffer()
	if err != nil {
		return err
	}
	defer buffer.Close()
	for l, layout := range p.config.layouts {
		rows := block{layout: layout, rows: buffer.Bytes()[:layout.RowBytes()*Block]}
		for i, runs := range blocksOf(s.runs) {
			if err := p.uninterrupted(ctx); err != nil {
				return err
			}
			if err := read(l, i, rows.rows); err != nil {
				return err
			}
			if err := p.writeBlock(ctx, s.tree, l, runs, rows); err != nil {
				return fmt.Errorf("layer %d: %w", l, err)
			}
		}
	}
	return nil
}

// writeBlock copies a block to where a layer's rows are, one run of cells.
func (p *Pool) writeBlock(ctx context.Context, t *tree, layer int, runs []tier.Run, rows block) error {
	rows.cell = runs[0].Start
	if region := t.regions[layer]; region != nil {
		rows.to(region, runs[0])
		return nil
	}
	at := p.placed[layer]
	return t.rows[at.device.number].Store(ctx, at.tierLayer, runs, rows)
}
