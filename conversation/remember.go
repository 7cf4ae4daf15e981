package conversation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
)

// A conversation that has files has a record: it is listed, pinned, deleted and exported also when it is in
// files alone, by this process and by the next ones. Who goes on with it from there gets its ID, its name and its
// pin.

// remember keeps the record of a conversation, of which files have these tokens. cuts are those of the
// conversation from before they were written.
func (s *Store) remember(c *Conversation, cuts int, tokens []int32) error {
	trail := s.files.root(c.salt).Trail(tokens)
	var before *record
	r, err := s.records.change(c.ID, func(last *record) *record {
		s.mu.Lock()
		defer s.mu.Unlock()
		before = last
		if c.cuts != cuts || c.unwanted || !slices.Contains(s.all, c) || before != nil && before.deleted {
			return nil
		}
		return &record{
			id: c.ID, name: c.name, owner: ownerOf(c.salt), model: s.files.root("").Key(), trail: trail,
			turn: c.turn, pinned: c.pinned, used: c.at,
		}
	})
	if r == nil {
		return err
	}
	for _, id := range s.supersede(r, before, tokens) {
		err = errors.Join(err, s.records.remove(id))
	}
	return err
}

// hold holds the files of a record if it is pinned, and none if it is not.
func (s *Store) hold(r *record) error {
	if r.pinned {
		return s.files.blocks.Hold(r.held())
	}
	return s.files.blocks.Free(r.id)
}

// supersede has the files of those removed in whose place a conversation is: an answer that another one has
// replaced. It returns the IDs of records that have nothing but the beginning of it, and are in files alone.
// before is the conversation's last record, or nil.
func (s *Store) supersede(r, before *record, tokens []int32) (beginnings []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before != nil && !before.isBeginning(r.trail, tokens) {
		s.removeLater(&removal{trail: before.trail, tokens: s.files.blocks.Tokens(before.trail)})
	}
	for _, other := range s.records.list() {
		switch {
		case other.id == r.id || other.pinned || !s.follows(r.trail, tokens, other) || s.live(other.id) != nil:
		case other.isBeginning(r.trail, tokens):
			beginnings = append(beginnings, other.id)
		default:
			s.removeLater(&removal{other.id, other.trail, s.files.blocks.Tokens(other.trail)})
		}
	}
	return beginnings
}

// follows reports whether a conversation goes on with the one of a record: it has all of its tokens, or another
// answer in the place of its last one.
func (s *Store) follows(trail blockfile.Trail, tokens []int32, r *record) bool {
	need := r.trail.Len()
	if !r.pinned && r.turn > 0 {
		need = min(need, r.turn)
	}
	n := trail.Common(r.trail)
	if trail.Root != r.trail.Root || n < len(r.trail.Blocks) && (n+1)*blockfile.BlockTokens <= need {
		return false
	}
	return s.commonWith(r, n, tokens[n*blockfile.BlockTokens:]) >= need
}

// live returns the conversation in the cache that has an ID; nil: there is none. mu is held.
func (s *Store) live(id string) *Conversation {
	for _, c := range s.all {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// adopt has a conversation that was restored from files be the one that they are of, if the prompt goes on with
// that: it has all of its tokens, or parts from it within its last answer. mu is held.
func (s *Store) adopt(c *Conversation, p Prompt) {
	trail := s.files.root(p.Salt).Trail(p.Tokens)
	var best *record
	var most int
	for _, r := range s.records.list() {
		if !s.follows(trail, p.Tokens, r) {
			continue
		}
		n := trail.Common(r.trail)
		n = s.commonWith(r, n, p.Tokens[n*blockfile.BlockTokens:])
		if (best == nil || n > most || n == most && r.used.After(best.used)) && s.live(r.id) == nil {
			best, most = r, n
		}
	}
	if best != nil && most > 0 {
		c.ID, c.name, c.pinned = best.id, best.name, best.pinned
	}
}

// commonWith returns how many tokens a record and others begin with alike, where that many whole blocks are. rest
// are the other tokens behind these.
func (s *Store) commonWith(r *record, blocks int, rest []int32) int {
	n := blocks * blockfile.BlockTokens
	if blocks == len(r.trail.Blocks) {
		return n + common(r.trail.Tail, rest)
	}
	return n + common(s.files.blocks.Block(r.trail, blocks), rest)
}

// leftFiles says where a prompt leaves the conversation of its name that was used last, if one is in files.
func (s *Store) leftFiles(p Prompt) (left Left, ok bool) {
	root := s.files.root(p.Salt).Key()
	var last *record
	for _, r := range s.records.list() {
		if r.name == p.Name && r.trail.Root == root && (last == nil || r.used.After(last.used)) {
			last = r
		}
	}
	if last == nil {
		return Left{}, false
	}
	tokens := s.files.blocks.Tokens(last.trail)
	n := common(tokens, p.Tokens)
	if n == len(tokens) && n < last.trail.Len() { // files do not say what comes behind
		return Left{}, false
	}
	return Left{last.id, n, last.trail.Len()}, true
}

// owned returns the record of an ID, if it is that of a conversation of an owner; nil: there is none.
func (s *Store) owned(owner, id string) *record {
	if s.files == nil {
		return nil
	}
	r := s.records.get(id)
	if r == nil || r.deleted || r.owner != ownerOf(owner) || r.model != s.files.root("").Key() {
		return nil
	}
	return r
}

// listFiles returns the conversations of an owner that are in files alone. Those of which files have nothing
// any more are forgotten.
func (s *Store) listFiles(owner string, live map[string]bool) (all []Info) {
	if s.files == nil {
		return nil
	}
	root, of := s.files.root(""), ownerOf(owner)
	for _, r := range s.records.list() {
		if r.owner != of || r.model != root.Key() || live[r.id] {
			continue
		}
		if n := s.files.blocks.Has(root, r.trail); n > 0 {
			all = append(all, Info{ID: r.id, Name: r.name, Pinned: r.pinned, Tokens: n, Files: n, InFiles: true, Used: r.used})
		} else {
			s.report(s.forgetLost(r))
		}
	}
	return all
}

// inFiles counts the conversations that are in files alone. mu is held.
func (s *Store) inFiles() (n int) {
	model := s.files.root("").Key()
	for _, r := range s.records.list() {
		if r.model == model {
			n++
		}
	}
	for _, c := range s.all {
		if r := s.records.get(c.ID); r != nil && !r.deleted {
			n--
		}
	}
	return n
}

// forgetLost removes the record of a conversation of which files have nothing any more.
func (s *Store) forgetLost(r *record) error {
	s.mu.Lock()
	live := s.live(r.id)
	s.mu.Unlock()
	if live != nil || s.records.get(r.id) != r { // it is written again
		return nil
	}
	return s.records.remove(r.id)
}

// forgetAllLost is forgetLost for all, and has those removed for which there was no time before the last process
// ended.
func (s *Store) forgetAllLost() error {
	root := s.files.root("")
	s.records.mu.Lock()
	var all []*record
	for _, r := range s.records.all {
		if r.model == root.Key() {
			all = append(all, r)
		}
	}
	s.records.mu.Unlock()
	errs := []error{s.records.shrink(nil)}
	for _, r := range all {
		if r.deleted {
			s.mu.Lock()
			s.removeLater(&removal{r.id, r.trail, s.files.blocks.Tokens(r.trail)})
			s.mu.Unlock()
		} else if s.files.blocks.Has(root, r.trail) == 0 {
			errs = append(errs, s.forgetLost(r))
		}
	}
	return errors.Join(errs...)
}

// lend returns the sequence of a conversation that is in files alone, which the caller closes before ctx ends.
// What has no room beside it waits for that.
func (s *Store) lend(ctx context.Context, r *record) (*kv.Seq, error) {
	lent := make(chan struct{})
	back := func() {
		close(lent)
		s.options.Copied()
	}
	s.mu.Lock()
	s.lent = append(s.lent, lent)
	s.mu.Unlock()
	seq, err := s.restore(ctx, r)
	if err != nil {
		back()
		return nil, err
	}
	context.AfterFunc(ctx, back)
	return seq, nil
}

// restore reads the sequence of a conversation that is in files alone. Idle conversations are given up for it.
func (s *Store) restore(ctx context.Context, r *record) (*kv.Seq, error) {
	for {
		tokens := s.files.blocks.Tokens(r.trail)
		match := s.files.blocks.Find(s.files.root("").At(r.trail.Root), tokens)
		if match.Tokens == 0 {
			return nil, ErrUnknown
		}
		seq, err := s.engine.Restore(ctx, tokens[:match.Tokens], match)
		if errors.Is(err, kv.ErrFull) {
			made, failed := s.MakeRoom(ctx, err)
			if made {
				continue
			}
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoRoom, err), failed)
		}
		if err != nil {
			return nil, err
		}
		if err := seq.Wait(ctx); err != nil {
			return nil, errors.Join(err, seq.Close())
		}
		return seq, nil
	}
}
