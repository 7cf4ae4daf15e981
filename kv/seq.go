package kv

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// ErrClosed is returned for a sequence or pool that was closed.
var ErrClosed = errors.New("kv: closed")

// Seq is tokens with their cells. A fork shares the cells it has in common with others of its tree.
//
// A Seq may be used from several goroutines. While it takes part in a step, or is saved or copied, it
// cannot be truncated or forked, and closing it takes effect when that ends.
type Seq struct {
	pool   *Pool
	number uint64 // higher than those of older sequences

	// guarded by pool.mu
	tree   *tree // nil once closed
	tokens []int32
	runs   []tier.Run // the cells, in order, of the tokens behind the sealed cells of the tree
	busy   bool       // part of the open step
	closed bool

	readers int // saves and copies that read it

	state   int     // the place of its state; nowhere without tokens, and where no layer is recurrent
	drafts  []kept  // states further back, from the step before
	pending []int32 // tokens whose state is lost: the next step begins with them

	// Without a state the sequence begins with the last snapshot, which is of all its tokens.
	snapshots []*snapshot // by their tokens
	wanted    []int       // numbers of tokens, in order, after which one is to be taken

	beside io.Closer // closed with the sequence; nil: nothing
}

// NewSeq returns an empty sequence in a tree of its own. It takes no memory before its first step.
// The caller closes it.
func (p *Pool) NewSeq() *Seq {
	s := &Seq{pool: p, number: p.nextID.Add(1), tree: p.newTree(), state: nowhere}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.tree.seqs = []*Seq{s}
	return s
}

// Len returns how many tokens the sequence has, those of [Seq.Pending] among them.
func (s *Seq) Len() int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return len(s.tokens) + len(s.pending)
}

// Tokens returns a copy of the sequence's tokens.
func (s *Seq) Tokens() []int32 {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return slices.Concat(s.tokens, s.pending)
}

// Pending returns the last tokens of the sequence that are to be computed again, because the states of
// recurrent layers before them were kept, and those after them were not. The next step of the sequence
// begins with them: see [Work].
func (s *Seq) Pending() []int32 {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return slices.Clone(s.pending)
}

// PendingLen returns how many tokens Pending has.
func (s *Seq) PendingLen() int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return len(s.pending)
}

// PutBeside puts something beside the sequence, which closes it when it is closed itself, and which
// [Seq.Beside] returns. Forks and copies have nothing beside them. It replaces what was there, which is
// not closed. What is put beside a closed sequence is an error, and stays open.
func (s *Seq) PutBeside(c io.Closer) error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: the sequence", ErrClosed)
	}
	s.beside = c
	return nil
}

// Beside returns what was put beside the sequence, nil if nothing was.
func (s *Seq) Beside() io.Closer {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.beside
}

// Fork returns a sequence that continues from the same tokens. It copies no K or V. The caller
// closes it.
func (s *Seq) Fork() (*Seq, error) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if err := s.idle(); err != nil {
		return nil, fmt.Errorf("kv: fork: %w", err)
	}
	s.tree.share(s.runs)
	f := &Seq{pool: s.pool, number: s.pool.nextID.Add(1), tree: s.tree, tokens: slices.Clone(s.tokens), runs: slices.Clone(s.runs), pending: slices.Clone(s.pending)}
	s.shareStates(f)
	s.shareSnapshots(f)
	s.tree.seqs = append(s.tree.seqs, f)
	return f, nil
}

// Truncate forgets the tokens from n on. Where layers are recurrent and the state after n tokens is not
// kept, the sequence goes back to the nearest snapshot before it, or to its beginning, and the tokens
// from there on are computed again: they become [Seq.Pending].
func (s *Seq) Truncate(n int) error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if err := s.idle(); err != nil {
		return fmt.Errorf("kv: truncate: %w", err)
	}
	if all := len(s.tokens) + len(s.pending); n < 0 || n > all {
		return fmt.Errorf("kv: truncate to %d: the sequence has %d tokens", n, all)
	}
	s.dropSnapshots(n)
	if n >= len(s.tokens) {
		s.pending = s.pending[:n-len(s.tokens)]
		return nil
	}
	wanted := n
	n = s.rewind(wanted)
	s.pending = append(s.pending[:0], s.tokens[n:wanted]...)
	s.cut(n)
	return nil
}

// Clear forgets all tokens, and gives back the memory of the sequence's tree, unless others are in it: the
// sequence begins a tree of its own, as a new one does.
func (s *Seq) Clear() error {
	fresh := s.pool.newTree()
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if err := s.idle(); err != nil {
		delete(s.pool.trees, fresh)
		return fmt.Errorf("kv: clear: %w", err)
	}
	beside := s.beside
	s.beside = nil
	err := s.drop()
	s.tree, s.beside = fresh, beside
	fresh.seqs = []*Seq{s}
	return err
}

// cut gives back the cells of the tokens from n on.
func (s *Seq) cut(n int) {
	if n < s.tree.sealed {
		s.tree.unseal(n / Block * Block)
	}
	kept, rest := cutRuns(s.runs, n-s.tree.sealed)
	s.tree.give(rest)
	s.runs, s.tokens = slices.Clone(kept), s.tokens[:n]
}

// Close gives the sequence's cells back. It may be called twice.
func (s *Seq) Close() error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.closed = true
	if s.busy || s.readers > 0 {
		return nil // the step's Close drops it, or the end of the last save
	}
	return s.drop()
}

// drop gives the cells back, and with the last sequence of a tree the memory of the tree.
func (s *Seq) drop() error {
	t := s.tree
	if t == nil {
		return nil
	}
	s.tree = nil
	t.seqs = slices.DeleteFunc(t.seqs, func(other *Seq) bool { return other == s })
	if len(t.seqs) == 0 {
		t.unseal(0)
	}
	t.give(s.runs)
	s.dropStates()
	s.dropSnapshots(0)
	s.runs, s.tokens, s.pending = nil, nil, nil
	var err error
	if s.beside != nil {
		err = s.beside.Close()
		s.beside = nil
	}
	if len(t.seqs) > 0 {
		return err
	}
	return errors.Join(err, s.pool.retire(t))
}

// idle reports why the sequence cannot be changed now.
func (s *Seq) idle() error {
	if err := s.unused(); err != nil {
		return err
	}
	if s.readers > 0 {
		return ErrReading
	}
	return nil
}

// unused reports why the sequence cannot be read between steps.
func (s *Seq) unused() error {
	switch {
	case s.closed:
		return fmt.Errorf("%w: the sequence", ErrClosed)
	case s.busy:
		return errors.New("the sequence takes part in an open step: close the step first")
	}
	return nil
}
