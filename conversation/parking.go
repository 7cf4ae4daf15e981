package conversation

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/kv"
)

// A request that waits for room gives its rows to files. The goroutine that writes does that beside the steps:
// it writes a fork of the sequence, and closes the sequence when it has. A request that goes on before has
// its sequence back as it was.

// parking is a sequence that is being parked, or was.
type parking struct {
	of     *Conversation // nil: the sequence has none
	salt   string        // under which it is written
	seq    *kv.Seq
	fork   *kv.Seq // what is written
	cuts   int     // those of the conversation then
	tokens []int32
	ended  bool // it is written, or could not be: the sequence was given up
	kept   bool // files had all of it
	back   bool // it was taken back before
}

// conversationOf returns the conversation of a sequence; nil: it has none.
func (s *Store) conversationOf(seq *kv.Seq) *Conversation {
	if i := slices.IndexFunc(s.all, func(c *Conversation) bool { return c.seq == seq }); i >= 0 {
		return s.all[i]
	}
	return nil
}

// park has a sequence of a request that waits written to files and closed, and returns how it comes back:
// with as many of its tokens as files have then. If it cannot be written, its rows are given up.
func (s *Store) park(_ context.Context, seq *kv.Seq) (restore func(context.Context) (*kv.Seq, error), err error) {
	fork, err := seq.Fork()
	if err != nil {
		return nil, err
	}
	// Sequences of several texts have no conversation, and nobody else finds theirs.
	p := &parking{seq: seq, fork: fork, tokens: seq.Tokens(), salt: "\x00parked\x00" + rand.Text()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.of = s.conversationOf(seq); p.of != nil {
		p.salt, p.cuts, p.of.parking = p.of.salt, p.of.cuts, p
	}
	s.stats.Parked++
	s.soon(job{of: p.of, parks: p})
	return func(ctx context.Context) (*kv.Seq, error) { return s.unpark(ctx, p) }, nil
}

// writeParked writes a sequence that is parked, and gives up its rows. The caller has the writer's lock.
func (s *Store) writeParked(ctx context.Context, p *parking) error {
	tokens, err := s.files.write(ctx, p.salt, p.fork, s.writtenOf(p))
	if err == nil && tokens > 0 && p.of != nil {
		s.report(s.remember(p.of, p.cuts, p.tokens[:tokens]))
	}
	err = errors.Join(err, p.fork.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	c := p.of
	if err == nil && c != nil && c.cuts == p.cuts {
		c.written = max(c.written, tokens)
	}
	if p.back {
		return err
	}
	p.ended, p.kept = true, err == nil
	if c == nil {
		return errors.Join(err, p.seq.Close())
	}
	c.parking = nil
	if err != nil {
		return errors.Join(err, p.seq.Clear())
	}
	c.away = len(p.tokens)
	return errors.Join(s.forget(c), p.seq.Close()) // its forks hold what others need
}

// writtenOf returns how many tokens files have of a sequence, as far as that is known.
func (s *Store) writtenOf(p *parking) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.of == nil || p.of.cuts != p.cuts {
		return 0
	}
	return p.of.written
}

// unpark brings back a sequence that was parked.
func (s *Store) unpark(ctx context.Context, p *parking) (*kv.Seq, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := p.of; {
	case !p.ended:
		return p.seq, s.takeBack(p)
	case c == nil && !p.kept:
		return s.engine.NewSeq(), nil
	case !p.kept: // it was emptied
		return p.seq, nil
	}
	match := s.files.find(p.salt, p.tokens)
	seq, err := s.engine.Restore(ctx, p.tokens[:match.Tokens], match)
	if err == nil && p.of != nil {
		p.of.seq, p.of.away, p.of.written = seq, 0, match.Tokens
	}
	return seq, err
}

// takeBack has a sequence not parked that is not written yet. mu is held.
func (s *Store) takeBack(p *parking) error {
	p.back = true
	if p.of != nil {
		p.of.parking = nil
	}
	return s.dropJobs(func(j job) bool { return j.parks == p })
}

// lost closes a sequence whose rows cannot be read, because files are damaged, and returns what there is
// still of it: the rows before the damage.
func (s *Store) lost(ctx context.Context, seq *kv.Seq, why error) (instead *kv.Seq, lost bool, failed error) {
	if !Damaged(why) {
		return nil, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Damaged++
	c, tokens := s.conversationOf(seq), seq.Tokens()
	if c == nil {
		return s.engine.NewSeq(), true, seq.Close()
	}
	match := s.files.find(c.salt, tokens)
	instead, err := s.engine.Restore(ctx, tokens[:match.Tokens], match)
	n := match.Tokens
	if err != nil { // there is no room for it
		instead, n = s.engine.NewSeq(), 0
	}
	c.seq, c.written, c.queued = instead, n, n
	c.cuts++
	return instead, true, errors.Join(s.forget(c), seq.Close(), s.dropLost())
}
