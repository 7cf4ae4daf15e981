package conversation

import (
	"errors"

	"github.com/seed4d217819/ebb/blockfile"
)

// removal is a conversation whose files are to be removed.
type removal struct {
	id     string // "": no record goes
	trail  blockfile.Trail
	tokens []int32 // those that are known: files may be damaged that say the others
}

// covers reports whether the removal is of all tokens of a trail.
func (r *removal) covers(t blockfile.Trail) bool {
	n := len(t.Blocks)
	return t.Root == r.trail.Root && r.trail.Common(t) == n && common(t.Tail, r.behind(n)) == len(t.Tail)
}

// behind returns the tokens behind a number of whole blocks, as far as they are known.
func (r *removal) behind(blocks int) []int32 {
	if n := blocks * blockfile.BlockTokens; n <= len(r.tokens) {
		return r.tokens[n:]
	}
	if blocks == len(r.trail.Blocks) {
		return r.trail.Tail
	}
	return nil
}

// removeFiles has the files of a conversation that was deleted removed, as far as no other one shares them.
// mu is held.
func (s *Store) removeFiles(c *Conversation, tokens []int32) {
	if s.files == nil {
		return
	}
	s.removeLater(&removal{c.ID, s.files.root(c.salt).Trail(tokens), tokens})
}

// removeLater has files removed. mu is held.
func (s *Store) removeLater(r *removal) {
	s.later(job{removes: r})
	for _, other := range s.all {
		n := common(other.tokens, r.tokens)
		if n == 0 || s.files.root(other.salt).Key() != r.trail.Root || n < len(other.tokens) && s.records.get(other.ID) != nil {
			continue
		}
		other.written, other.queued = 0, 0 // some of it may go, too: what is there is not written again
		if !other.busy {
			s.later(job{of: other})
		}
	}
}

// remove removes files, and then the record that leads to them. Where that leads to more, because the conversation
// was parked or had another answer when it was written, these are next.
func (s *Store) remove(r *removal) error {
	last := s.records.get(r.id)
	if last != nil && !last.deleted && s.goesOn(r.id) {
		return nil
	}
	if err := s.removeTrail(r); err != nil || r.id == "" {
		return err
	}
	if last == nil || r.covers(last.trail) {
		return s.records.remove(r.id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLater(&removal{r.id, last.trail, s.files.blocks.Tokens(last.trail)})
	return nil
}

// goesOn reports whether a prompt has gone on with a conversation since it was said that its files go.
func (s *Store) goesOn(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(id) != nil
}

// removeTrail removes files. Those stay whose tokens are all the beginning of another conversation in files, too.
func (s *Store) removeTrail(r *removal) error {
	shared := 0
	for _, other := range s.records.list() {
		if n := r.trail.Common(other.trail); other.id != r.id && other.trail.Root == r.trail.Root && n >= shared/blockfile.BlockTokens {
			shared = max(shared, s.commonWith(other, n, r.behind(n)))
		}
	}
	return errors.Join(s.files.blocks.Free(r.id), s.files.blocks.Remove(r.trail, r.tokens, shared))
}

// deleteFiles deletes a conversation of an owner that is in files alone.
func (s *Store) deleteFiles(owner, id string) error {
	r := s.owned(owner, id)
	if r == nil {
		return ErrUnknown
	}
	if r, err := s.bury(id); r == nil || err != nil {
		return errors.Join(err, ErrUnknown)
	}
	tokens := s.files.blocks.Tokens(r.trail)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLater(&removal{id, r.trail, tokens})
	return nil
}

// bury writes down that a conversation is deleted, so that its files are removed whatever ends the process. It
// returns its record, or nil if there is none.
func (s *Store) bury(id string) (*record, error) {
	return s.records.change(id, func(r *record) *record {
		if r == nil || r.deleted {
			return nil
		}
		buried := *r
		buried.deleted, buried.pinned = true, false
		return &buried
	})
}
