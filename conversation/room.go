package conversation

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/kv"
)

// MakeRoom gives up the idle conversation that is least useful of those that have some of what is short:
// full is the error that says so, nil where it is memory. One whose beginning is being copied has none: the copy
// holds its rows. With files the conversation is written before,
// if it was not. While another one is written, it is one that files have, if there is any, so that nobody
// waits for that. MakeRoom reports whether there was one. Several goroutines may call it.
func (s *Store) MakeRoom(ctx context.Context, full error) (made bool, err error) {
	return s.makeRoom(ctx, full, anyone)
}

// anyone says of each conversation that it may be given up.
func anyone(*Conversation) bool { return true }

// makeRoom is MakeRoom of those conversations that may be given up.
func (s *Store) makeRoom(ctx context.Context, full error, may func(*Conversation) bool) (made bool, err error) {
	if !s.writer.lock.TryLock() {
		if made, err := s.giveUpWritten(full, may); made {
			return true, err
		}
		s.writer.lock.Lock()
	}
	defer s.writer.lock.Unlock()
	for {
		c := s.leastUseful(full, may)
		if c == nil {
			return false, nil
		}
		if s.files != nil {
			s.report(s.write(ctx, job{of: c}))
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		if given, err := s.giveUp(c); given {
			return true, err
		}
	}
}

// giveUpWritten gives up the least useful conversation of those that may be, files have, and nobody has pinned.
func (s *Store) giveUpWritten(full error, may func(*Conversation) bool) (made bool, err error) {
	ready := func(c *Conversation) bool { return !c.pinned && c.unwritten() <= 0 && may(c) }
	for c := s.leastUseful(full, ready); c != nil; c = s.leastUseful(full, ready) {
		if given, err := s.giveUp(c); given {
			return true, err
		}
	}
	return false, nil
}

// askForRoom is MakeRoom for the goroutine that takes the steps, which does not wait for the disk: if no
// conversation can be given up that files have, the least useful one is written beside the steps and given up
// then, and coming says when.
func (s *Store) askForRoom(ctx context.Context, full error) (made bool, err error) {
	if s.files == nil {
		return s.MakeRoom(ctx, full)
	}
	if made, err := s.giveUpWritten(full, anyone); made || s.making() != nil {
		return made, err
	}
	c := s.leastUseful(full, anyone)
	if c == nil {
		return false, nil
	}
	if s.written(c) { // it is pinned, and there is no other one
		return s.giveUp(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.soon(job{of: c, givesUp: true})
	return false, nil
}

// written reports whether files have all of an idle conversation that they may.
func (s *Store) written(c *Conversation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.unwritten() <= 0
}

// giveUp closes a conversation, unless a prompt has taken it meanwhile.
func (s *Store) giveUp(c *Conversation) (given bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.busy:
		return false, nil
	case !slices.Contains(s.all, c): // somebody has deleted it meanwhile
		return true, nil
	}
	s.stats.GivenUp++
	if c.unwritten() > 0 {
		s.stats.Lost++
	}
	return true, s.drop(c)
}

// leastUseful returns the idle conversation that is given up first of those that may be, or nil.
func (s *Store) leastUseful(full error, may func(*Conversation) bool) *Conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	tree, _ := errors.AsType[*kv.TreeFullError](full)
	var idle []*Conversation
	for _, c := range s.all {
		if !c.busy && !s.lends(c) && may(c) && (tree == nil || tree.Of(c.seq)) {
			idle = append(idle, c)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return slices.MinFunc(idle, usefulness)
}

// lends reports whether the beginning of a conversation is being copied. mu is held.
func (s *Store) lends(c *Conversation) bool {
	return slices.ContainsFunc(s.copying, func(one *copying) bool { return one.of == c })
}

// usefulness compares how useful two idle conversations are. First those go that another has replaced, and
// last those that were pinned; of equals the one goes first that was not used for longest. To lend its
// beginning is a use, too.
func usefulness(x, y *Conversation) int {
	for _, more := range [...]func(*Conversation) bool{
		func(c *Conversation) bool { return c.pinned },
		func(c *Conversation) bool { return !c.replaced },
	} {
		if more(x) != more(y) {
			if more(y) {
				return -1
			}
			return 1
		}
	}
	if x.used < y.used {
		return -1
	}
	return 1
}
