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
	// of layers with windows, as Save said. Without it, it has all. A [StateSource] has states, too.
}

// StateSource is a [Source] that has states of recurrent layers.
type StateSource interface {
	Source
	// States returns after how many tokens it has states: Computed and Snapshots of what was saved.
	States() (computed int, snapshots []int)
	// State reads a state of a recurrent layer, by the number that it was saved with, as Read reads rows.
	State(ctx context.Context, number, layer int, buffer []byte) (state []byte, err error)
}

// What a [Source] may expect of the buffers that it reads into.
const (
	SourceAlign = 4096
	SourceSlack = 2 * SourceAlign
)

// Restore returns a new sequence with these tokens, whose rows and states are read from a source while
// the sequence is used already: a step waits for each layer before it computes it. The tokens may be
// fewer than were saved, and no more is read than they need; what is cut off or closed meanwhile is
// not read either. [Seq.Wait] waits for all of it.
//
// Where layers are recurrent, the sequence begins with the last state of the source at or before its
// end. The tokens behind it, or all without one, are [Seq.Pending]. The snapshots up to there come behind
// all layers, and are the sequence's: one that cannot be read is missed by those alone who go back to it.
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
	s, reading, err := p.beginRestore(ctx, tokens, from)
	if reading {
		return s, nil
	}
	if err = errors.Join(err, from.Close()); err == nil {
		return s, nil
	}
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	return nil, fmt.Errorf("kv: restore: %w", err)
}

// beginRestore makes the sequence, and starts to read its rows and states, if there are any that it can
// begin with.
func (p *Pool) beginRestore(ctx context.Context, tokens []int32, from Source) (_ *Seq, reading bool, err error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-p.turn }()
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	defer p.tell()
	s := p.NewSeq()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.count()
	r, err := p.roomToRestore(ctx, s, tokens, from)
	if err != nil {
		s.closed = true
		return nil, false, errors.Join(err, s.drop())
	}
	if r == nil {
		p.notices = append(p.notices, fmt.Sprintf("%d tokens are computed again: no snapshot of states was saved that lies so early in the text", len(tokens)))
		s.pending = slices.Clone(tokens)
		return s, false, nil
	}
	n := int(r.wanted.Load())
	s.hold(tokens[:n])
	s.pending = slices.Clone(tokens[n:])
	s.tree.restoring.Store(r)
	p.restoreSnapshots(s, r)
	r.start(p.pinned())
	return s, true, nil
}

// roomToRestore gives a new sequence memory for those of its tokens that can be restored; nil: none can.
func (p *Pool) roomToRestore(ctx context.Context, s *Seq, tokens []int32, from Source) (*restoring, error) {
	n, number := len(tokens), 0
	switch {
	case p.closed:
		return nil, fmt.Errorf("%w: the pool", ErrClosed)
	case n > p.config.capacity:
		return nil, fmt.Errorf("%w: %d tokens, room for %d", ErrFull, n, p.config.capacity)
	}
	if p.states != nil {
		if n, number = stateIn(from, n); n == 0 {
			return nil, nil
		}
	}
	if err := p.ensureMemory(ctx, s.tree, n); err != nil {
		return nil, err
	}
	if p.states != nil {
		if err := p.takeRestored(ctx, s, n); err != nil {
			return nil, err
		}
	}
	return p.newRestoring(s, n, number, from)
}

// hold gives a new sequence its tokens, in the first cells of its tree. Their rows are about to be
// written, so only the padding behind them is zeroed.
func (s *Seq) hold(tokens []int32) {
	t := s.tree
	s.tokens, s.runs = slices.Clone(tokens), t.take(len(tokens), nil)
	for _, r := range t.regions {
		if r != nil {
			r.clean = max(r.clean, t.high)
			r.zero(t.high, min(plan.WholeBlocks(t.high), r.cells))
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
