package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
)

// Source is where the rows of a saved sequence are, such as a file. Read is called from several
// goroutines at once.
type Source interface {
	// Read reads blocks [first, first+blocks) of a layer into buffer, and returns the part of buffer
	// that has them, one behind the other, each as [Pool.Save] gave it. The address of buffer is a
	// multiple of SourceAlign, and it is SourceSlack bytes longer than the rows, so that whole
	// sectors can be read straight into it.
	Read(ctx context.Context, layer, first, blocks int, buffer []byte) (rows []byte, err error)
	// Close is called once, when nothing is read any more.
	Close() error

	// A Source may also have a method WindowFrom() int, which returns the first token whose rows it has
	// of layers with windows, as Save said. Without it, it has all.
}

// What a [Source] may expect of the buffers that it reads into.
const (
	SourceAlign = 4096
	SourceSlack = 2 * SourceAlign
)

// Restore returns a new sequence with these tokens, whose rows are read from a source while the
// sequence is used already: a step waits for each layer before it computes it. The tokens may be
// fewer than were saved, and no more is read than they need; what is cut off or closed meanwhile is
// not read either. [Seq.Wait] waits for all rows.
//
// If a row cannot be read, the step that needs it fails with the source's error before it computes
// with it, and so do all later steps of the sequence and its forks, which can only be closed.
//
// Restore waits for the open step to be closed, and ctx ends no more than that wait. Its own errors
// leave nothing in the cache; [ErrFull] says that the tokens have no room. The caller closes the
// sequence. The pool closes the source, also after an error.
func (p *Pool) Restore(ctx context.Context, tokens []int32, from Source) (*Seq, error) {
	if len(tokens) == 0 {
		if err := from.Close(); err != nil {
			return nil, fmt.Errorf("kv: restore: %w", err)
		}
		return p.NewSeq(), nil
	}
	s, err := p.beginRestore(ctx, tokens, from)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kv: restore: %w", err), from.Close())
	}
	return s, nil
}

// beginRestore makes the sequence, and starts to read its rows.
func (p *Pool) beginRestore(ctx context.Context, tokens []int32, from Source) (*Seq, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.turn }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer p.tell()
	s := p.NewSeq()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.count()
	r, err := p.roomToRestore(ctx, s.tree, len(tokens), from)
	if err != nil {
		s.closed = true
		return nil, errors.Join(err, s.drop())
	}
	s.hold(tokens)
	s.tree.restoring.Store(r)
	r.start(p.pinned())
	return s, nil
}

// roomToRestore gives a new tree memory for n tokens.
func (p *Pool) roomToRestore(ctx context.Context, t *tree, n int, from Source) (*restoring, error) {
	switch {
	case p.closed:
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	case n > p.config.capacity:
		return nil, fmt.Errorf("%w: %d tokens, room for %d", ErrFull, n, p.config.capacity)
	}
	if err := p.ensureMemory(ctx, t, n); err != nil {
		return nil, err
	}
	return p.newRestoring(t, n, from)
}

// hold gives a new sequence its tokens, in the first cells of its tree. Their rows are about to be
// written, so only the padding behind them is zeroed.
func (s *Seq) hold(tokens []int32) {
	t := s.tree
	s.tokens, s.runs = slices.Clone(tokens), t.take(len(tokens), nil)
	for _, r := range t.regions {
		if r != nil {
			r.clean = max(r.clean, t.high)
			r.zero(min(plan.WholeBlocks(t.high), r.cells))
		}
	}
}

// pinned reports whether goroutines that copy rows need threads of their own: see [mover].
func (p *Pool) pinned() bool {
	return slices.ContainsFunc(p.devices, func(d *device) bool { return d.backend.Device().Type() != ggml.CPU })
}

// Wait waits until all rows of a restored sequence are in the cache, and returns why they are not.
func (s *Seq) Wait(ctx context.Context) error {
	t, err := s.restoredTree()
	if err != nil {
		return err
	}
	return t.wait(ctx)
}

// restoredTree returns the sequence's tree, or why its rows are lost.
func (s *Seq) restoredTree() (*tree, error) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.tree == nil {
		return nil, fmt.Errorf("%w: the sequence", ErrClosed)
	}
	return s.tree, s.tree.lost()
}
