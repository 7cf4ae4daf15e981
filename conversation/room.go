package conversation

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/kv"
)

// MakeRoom gives up the idle conversation that is least useful of those that have some of what is short:
// full is the error that says so, nil where it is memory. With files the conversation is written before,
// if it was not. While another one is written, it is one that files have, if there is any, so that nobody
// waits for that. MakeRoom reports whether there was one. Several goroutines may call it.
func (s *Store) MakeRoom(ctx context.Context, full error) (made bool, err error) {
	if !s.writer.lock.TryLock() {
		ready := func(c *Conversation) bool { return !c.pinned && len(c.tokens) <= c.written }
		for c := s.leastUseful(full, ready); c != nil; c = s.leastUseful(full, ready) {
			if given, err := s.giveUp(c); given {
				return true, err
			}
		}
		s.writer.lock.Lock()
	}
	defer s.writer.lock.Unlock()
	for {
		c := s.leastUseful(full, func(*Conversation) bool { return true })
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
	if len(c.tokens) > c.written {
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
		if !c.busy && may(c) && (tree == nil || tree.Of(c.seq)) {
			idle = append(idle, c)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return slices.MinFunc(idle, usefulness)
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
