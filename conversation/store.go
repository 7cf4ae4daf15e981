package conversation

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Store keeps the conversations of an engine. One goroutine takes conversations and puts them back,
// between the steps that it computes; others may call what says so.
type Store struct {
	engine *ebb.Engine

	mu    sync.Mutex
	kept  []*Conversation
	uses  uint64
	stats Stats
}

// Stats are a store's counters since it was made.
type Stats struct {
	Conversations int // kept now, the busy ones among them
	Continued     int // prompts that went on with a conversation
	Forked        int // prompts that went on from the middle of one
	New           int // prompts of which nothing was there
	GivenUp       int // conversations that were closed to make room
}

// New returns an empty store. The caller closes it, before the engine.
func New(e *ebb.Engine) *Store { return &Store{engine: e} }

// Take finds what is there of a prompt, and returns a conversation whose sequence has that, and no more.
// The caller computes the rest and puts the conversation back. If it is worth waiting for another
// one, Take returns none, and Found.Wait says for which.
func (s *Store) Take(p Prompt) (*Conversation, Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, soon := s.find(p)
	found := Found{Cached: now.has, Left: s.left(p, now)}
	if soon.common-now.has >= granule {
		found.Wait, found.at = soon.of, soon.common
		return nil, found, soon.of.seq.SnapshotAt(soon.common)
	}
	c, err := s.begin(p, now)
	if err != nil {
		return nil, found, err
	}
	found.Cached = c.seq.Len() - len(c.seq.Pending())
	if c.name == "" {
		c.name = p.Name
	}
	c.busy, c.tokens, c.turn, c.replaced = true, p.Tokens, p.Turn, false
	s.use(c)
	if err := s.wantSnapshots(c, now.common); err != nil {
		return nil, found, errors.Join(err, s.drop(c))
	}
	return c, found, nil
}

// begin returns the conversation that a prompt continues.
func (s *Store) begin(p Prompt, from share) (*Conversation, error) {
	switch {
	case from.has == 0:
		s.stats.New++
		return s.add(s.engine.NewSeq(), p), nil
	case from.whole:
		s.stats.Continued++
		return from.of, nil
	case from.has < granule || from.of.seq.Room() < len(p.Tokens)-from.has+p.More:
		s.stats.New++
		return s.add(s.engine.NewSeq(), p), nil
	}
	s.stats.Forked++
	s.use(from.of)
	if at := from.of.turn; !from.of.busy && at > 0 && from.common >= min(at, len(p.Tokens)-1) {
		from.of.replaced = true
	}
	fork, err := from.of.seq.Fork()
	if err != nil {
		return nil, err
	}
	if err := fork.Truncate(from.common); err != nil {
		return nil, errors.Join(err, fork.Close())
	}
	return s.add(fork, p), nil
}

// add keeps a new conversation.
func (s *Store) add(seq *kv.Seq, p Prompt) *Conversation {
	c := &Conversation{ID: "conv_" + strings.ToLower(rand.Text()[:16]), seq: seq, salt: p.Salt}
	s.kept = append(s.kept, c)
	return c
}

// use notes that a conversation was used.
func (s *Store) use(c *Conversation) {
	s.uses++
	c.used, c.at = s.uses, time.Now()
}

// wantSnapshots asks for the states of recurrent layers where later prompts are likely to leave this one:
// where it has left another, and where the assistant's turn begins.
func (s *Store) wantSnapshots(c *Conversation, shared int) error {
	for _, at := range [...]int{shared, c.turn} {
		if at >= c.seq.Len() && at > 0 {
			if err := c.seq.SnapshotAt(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// Soon reports whether what was worth waiting for is there, or will not be.
func (f Found) Soon() bool { return !f.Wait.busy || f.Wait.seq.Len() >= f.at }

// Put puts a conversation back, as far as it was computed. lost is why its sequence cannot be used any
// more; nil: it can.
func (s *Store) Put(c *Conversation, lost error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy = false
	if lost != nil || c.unwanted || c.seq.Len() == 0 {
		return s.drop(c)
	}
	c.tokens = c.seq.Tokens()
	s.use(c)
	if len(c.seq.Pending()) == 0 {
		if err := c.seq.SnapshotAt(c.seq.Len()); err != nil {
			return errors.Join(err, s.drop(c))
		}
	}
	return s.dropBeginnings(c)
}

// dropBeginnings drops the idle conversations that are the beginning of c, where c keeps all that they
// have.
func (s *Store) dropBeginnings(c *Conversation) error {
	var errs []error
	for _, other := range slices.Clone(s.kept) {
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
	s.kept = slices.DeleteFunc(s.kept, func(other *Conversation) bool { return other == c })
	return c.seq.Close()
}

// Stats returns the counters. Any goroutine may call it.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Conversations = len(s.kept)
	return stats
}

// Close closes all conversations.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for len(s.kept) > 0 {
		errs = append(errs, s.drop(s.kept[0]))
	}
	return errors.Join(errs...)
}
