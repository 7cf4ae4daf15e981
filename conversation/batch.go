package conversation

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Batch returns the options of a batch whose requests have the store's conversations: idle ones are given up
// for them, copies are stopped, and with files those of requests that wait are written there.
func (s *Store) Batch(o ebb.BatchOptions) ebb.BatchOptions {
	o.Full = func(ctx context.Context, _ []ebb.Claim, full error) (bool, error) {
		made, err := s.MakeRoom(ctx, full)
		if made || err != nil || full == nil { // a request that has not begun can wait for copies
			return made, err
		}
		return s.stopCopy(ctx, full)
	}
	if s.files != nil {
		o.Park = s.park
	}
	return o
}

// parked returns the conversation of a sequence that is to be parked, and the salt under which it is written.
// Sequences of several texts have no conversation, and nobody else finds theirs.
func (s *Store) parked(seq *kv.Seq) (*Conversation, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.all, func(c *Conversation) bool { return c.seq == seq }); i >= 0 {
		return s.all[i], s.all[i].salt
	}
	return nil, "\x00parked\x00" + rand.Text()
}

// park writes a sequence of a request that waits to files, and closes it. It returns how it comes back, with
// as many of its tokens as files have then.
func (s *Store) park(ctx context.Context, seq *kv.Seq) (restore func(context.Context) (*kv.Seq, error), err error) {
	c, salt := s.parked(seq)
	s.writer.lock.Lock()
	defer s.writer.lock.Unlock()
	if _, err := s.files.write(ctx, salt, seq, 0); err != nil {
		s.report(err)
		return nil, err
	}
	tokens := seq.Tokens()
	if err := seq.Close(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Parked++
	if c != nil {
		c.away = len(tokens)
		if err := s.forget(c); err != nil { // its forks hold what others need
			return nil, err
		}
	}
	return func(ctx context.Context) (*kv.Seq, error) {
		match := s.files.find(salt, tokens)
		seq, err := s.engine.Restore(ctx, tokens[:match.Tokens], match)
		if err != nil || c == nil {
			return seq, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		c.seq, c.away, c.written = seq, 0, match.Tokens
		return seq, nil
	}, nil
}
