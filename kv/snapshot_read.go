package kv

import (
	"context"
	"fmt"
	"slices"
)

// PendingError says that a sequence has more tokens in [Seq.Pending] now: the snapshot with which it
// began could not be read. Nothing else has changed, and no token is lost; a step that begins with all
// of them can be taken.
type PendingError struct {
	Seq *Seq
	Err error // why it could not be read
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("kv: the sequence has more tokens to be computed again now: begin with those of Pending: %v", e.Err)
}

func (e *PendingError) Unwrap() error { return e.Err }

// readState makes the state in a place that of the sequence, which has none on its devices: zeros
// without tokens, and otherwise its last snapshot.
func (s *Seq) readState(ctx context.Context, place int) error {
	p := s.pool
	if len(s.tokens) == 0 {
		p.states.zero(place)
		return nil
	}
	one := s.snapshots[len(s.snapshots)-1]
	err := p.readSnapshot(ctx, one, place)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &unreadError{s, one, err}
}

// unreadError says that the snapshot with which a sequence begins could not be read.
type unreadError struct {
	seq *Seq
	one *snapshot
	err error
}

func (e *unreadError) Error() string { return e.err.Error() }

// loseSnapshot gives up a snapshot that cannot be read. The sequences that begin with it begin with the
// one before it, or with none.
func (p *Pool) loseSnapshot(unread *unreadError) error {
	one, again := unread.one, 0
	for t := range p.trees {
		for _, s := range t.seqs {
			if !slices.Contains(s.snapshots, one) {
				continue
			}
			begins := s.state == nowhere && len(s.tokens) == one.tokens
			s.forgetSnapshot(one)
			if begins {
				n := s.toSnapshot()
				again = max(again, len(s.tokens)-n)
				s.pending = slices.Concat(s.tokens[n:], s.pending)
				s.cut(n)
			}
		}
	}
	one.holders = 0
	p.dropSnapshot(one)
	p.notices = append(p.notices, fmt.Sprintf("%d tokens are computed again: the state after %d tokens could not be read: %v", again, one.tokens, unread.err))
	return &PendingError{Seq: unread.seq, Err: unread.err}
}

// loseMissed has a sequence begin with the last snapshot that did not fail to be restored, or with none.
func (p *Pool) loseMissed(s *Seq) {
	for p.states != nil && s.state == nowhere && len(s.tokens) > 0 {
		one := s.snapshots[len(s.snapshots)-1]
		if !one.coming.missed() {
			return
		}
		_ = p.loseSnapshot(&unreadError{s, one, one.coming.err}) // the next step begins with Pending anyway
	}
}

// forgetSnapshot takes a snapshot out of the sequence's list.
func (s *Seq) forgetSnapshot(one *snapshot) {
	s.snapshots = slices.DeleteFunc(s.snapshots, func(other *snapshot) bool { return other == one })
}
