package conversation

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
)

// Put puts a conversation back, as far as it was computed. lost is why its sequence cannot be used any
// more; nil: it can. Where that is too much for host memory, the least useful ones are given up: with files
// soon, beside the steps.
func (s *Store) Put(ctx context.Context, c *Conversation, lost error) error {
	if err := s.put(c, lost); err != nil || s.files != nil {
		return err
	}
	return s.bound(ctx)
}

// bound gives up conversations until they take no more host memory than they may.
func (s *Store) bound(ctx context.Context) error {
	for ctx.Err() == nil && s.options.HostBytes > 0 && s.engine.Stats().Cache.HostBytes > s.options.HostBytes {
		if made, err := s.MakeRoom(ctx, nil); err != nil && !errors.Is(err, context.Canceled) {
			return err
		} else if !made {
			break
		}
	}
	return nil
}

func (s *Store) put(c *Conversation, lost error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy, c.waits = false, false
	s.puts++
	if Damaged(lost) {
		s.stats.Damaged++
	}
	var back error
	if c.parking != nil {
		back = s.takeBack(c.parking)
	}
	c.tokens, c.pending = c.seq.Tokens(), c.seq.PendingLen()
	if c.unwanted {
		defer s.removeFiles(c, c.tokens)
	}
	if lost != nil || !usable(c.seq) { // and so are those that share its rows
		return errors.Join(back, s.drop(c), s.dropLost())
	}
	if c.unwanted || len(c.tokens) == 0 {
		return errors.Join(back, s.drop(c))
	}
	s.use(c)
	if c.pending == 0 {
		if err := c.seq.SnapshotAt(c.seq.Len()); err != nil {
			return errors.Join(err, back, s.drop(c))
		}
	}
	if s.files != nil {
		s.later(job{of: c})
	}
	return errors.Join(back, s.dropBeginnings(c))
}

// Damaged reports whether an error says that what files had of a sequence is damaged. Its tokens are not
// found there any more, and can be computed anew.
func Damaged(err error) bool { return errors.Is(err, blockfile.ErrDamaged) }

// usable reports whether the rows of a sequence are there, or are still read.
func usable(seq *kv.Seq) bool {
	ended, end := context.WithCancel(context.Background())
	end()
	err := seq.Wait(ended)
	return err == nil || errors.Is(err, context.Canceled)
}

// dropLost drops the idle conversations whose rows are lost: a prompt that begins like one of them would go
// on from it, and fail, each time that it is tried.
func (s *Store) dropLost() (errs error) {
	for _, c := range slices.Clone(s.all) {
		if !c.busy && !usable(c.seq) {
			errs = errors.Join(errs, s.drop(c))
		}
	}
	return errs
}

// dropBeginnings drops the idle conversations that are the beginning of c, where c keeps all that they
// have.
func (s *Store) dropBeginnings(c *Conversation) error {
	var errs []error
	for _, other := range slices.Clone(s.all) {
		n := len(other.tokens)
		if other == c || other.busy || other.pinned || other.salt != c.salt || n > len(c.tokens) || common(other.tokens, c.tokens) < n {
			continue
		}
		if c.seq.Keeps(n) == n {
			errs = append(errs, s.drop(other))
		}
	}
	return errors.Join(errs...)
}

// drop closes a conversation.
func (s *Store) drop(c *Conversation) error {
	s.all = slices.DeleteFunc(s.all, func(other *Conversation) bool { return other == c })
	return errors.Join(s.forget(c), c.seq.Close())
}
