package conversation

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
)

// ErrUnknown says that there is no conversation with an ID, or that it is somebody else's.
var ErrUnknown = errors.New("conversation: there is none with this ID")

// ErrBusy says that something is computed for a conversation.
var ErrBusy = errors.New("conversation: something is computed for it now")

// ErrPinned says that the files of all that is pinned would take more than they may.
var ErrPinned = blockfile.ErrHeld

// ErrNoRoom says that the cache has no room for a conversation that is in files alone.
var ErrNoRoom = errors.New("conversation: there is no room to read it from files now")

// Info says what is known of a conversation, and not what it is about.
type Info struct {
	ID   string
	Name string // what its client calls it, "" if it does not
	// InFiles says that it is in files alone. Its tokens are those that files have.
	InFiles bool
	Busy    bool
	Parked  bool // of a busy one: its sequence is in files, until there is room for it
	Waits   bool // of a busy one: its request waits for room, and keeps what it has
	Pinned  bool
	Tokens  int // that were computed, by whole steps
	Files   int // of these, those that files have
	Prompt  int // of a busy conversation: tokens of the prompt
	Used    time.Time
	Bytes   kv.Footprint // of its sequence, apart from those that files have
}

// List describes the conversations of an owner, the one used last first. Any goroutine may call it.
func (s *Store) List(owner string) []Info {
	all, live := s.listCache(owner)
	all = append(all, s.listFiles(owner, live)...)
	slices.SortFunc(all, func(x, y Info) int { return cmp.Or(y.Used.Compare(x.Used), cmp.Compare(x.ID, y.ID)) })
	return all
}

// listCache describes the conversations of an owner that are in the cache, and returns the IDs of all that are.
func (s *Store) listCache(owner string) (all []Info, live map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live = map[string]bool{}
	for _, c := range s.all {
		live[c.ID] = true
		if !c.ownedBy(owner) {
			continue
		}
		i := Info{ID: c.ID, Name: c.name, Busy: c.busy, Pinned: c.pinned, Tokens: c.seq.Len(), Files: c.written, Used: c.at, Bytes: c.seq.Footprint()}
		if c.busy {
			i.Prompt, i.Parked, i.Waits = len(c.tokens), c.away > 0, c.waits && c.away == 0
			i.Tokens = max(i.Tokens, c.away)
		}
		all = append(all, i)
	}
	return all, live
}

// Waits says of a busy conversation whether its request waits for room. Whoever has taken the conversation
// calls it between two steps.
func (s *Store) Waits(c *Conversation, waits bool) {
	if c.waits == waits { // nobody else changes it
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waits = waits
}

// ownedBy reports whether a conversation is that of an owner: its salt is the owner's, or begins with it and
// a zero byte.
func (c *Conversation) ownedBy(owner string) bool {
	rest, ok := strings.CutPrefix(c.salt, owner)
	return ok && (rest == "" || rest[0] == 0)
}

// Delete gives up a conversation of an owner: at once, or when it is put back. Its files are removed soon
// after that, but for those that other conversations share. Any goroutine may call it.
func (s *Store) Delete(owner, id string) error {
	err := s.with(owner, id, func(c *Conversation) error {
		if c.busy {
			c.unwanted = true
			return nil
		}
		err := s.drop(c)
		s.removeFiles(c, c.tokens)
		return err
	})
	switch {
	case errors.Is(err, ErrUnknown):
		return s.deleteFiles(owner, id)
	case err == nil && s.files != nil:
		_, err = s.bury(id)
	}
	return err
}

// Pin has a conversation of an owner given up after all that are not pinned, or takes that back. The files of a
// pinned one are not evicted. If that is more than files may take for what is pinned, the error wraps
// [ErrPinned], and nothing has changed. Any goroutine may call it.
func (s *Store) Pin(owner, id string, pinned bool) error {
	inCache := func() error {
		return s.with(owner, id, func(c *Conversation) error {
			c.pinned = pinned
			return nil
		})
	}
	if s.files == nil {
		return inCache()
	}
	var wrong error
	_, err := s.records.change(id, func(now *record) *record {
		if s.owned(owner, id) == nil {
			wrong = inCache() // it is in no file yet
			return nil
		}
		changed := *now
		changed.pinned = pinned
		if wrong = s.hold(&changed); wrong != nil {
			if !now.pinned {
				wrong = errors.Join(wrong, s.hold(now))
			}
			return nil
		}
		_ = inCache() // it may be in files alone
		return &changed
	})
	return errors.Join(wrong, err)
}

// Fork returns a fork of an idle conversation of an owner, which the caller closes. One that is in files alone
// is read from there; the error is [ErrNoRoom] where there is none. Requests that have no room beside that wait
// until ctx ends, which the caller sees to when it has closed the fork. Any goroutine may call it.
func (s *Store) Fork(ctx context.Context, owner, id string) (seq *kv.Seq, err error) {
	err = s.with(owner, id, func(c *Conversation) error {
		if c.busy {
			return ErrBusy
		}
		seq, err = c.seq.Fork()
		return err
	})
	if r := s.owned(owner, id); r != nil && errors.Is(err, ErrUnknown) {
		return s.lend(ctx, r)
	}
	return seq, err
}

// with calls do with a conversation of an owner.
func (s *Store) with(owner, id string, do func(*Conversation) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if c.ID == id && c.ownedBy(owner) {
			return do(c)
		}
	}
	return ErrUnknown
}
