package conversation

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/kv"
)

// A fork shares its tree with the conversation that it leaves: the cells of both together are at most those
// of one context, and where layers are streamed, a step fetches the rows of both. So the beginning is copied
// where a fork has no room, or layers are streamed. The copy is made beside the steps, and becomes an idle
// conversation, which the prompt continues.

// copying is a beginning of a conversation that is being copied.
type copying struct {
	salt   string
	tokens []int32       // of the beginning
	of     *Conversation // which has it
	source *kv.Seq       // a fork of that: what is copied
	stop   context.CancelFunc
	failed bool
	done   chan struct{}
}

// way is how a prompt goes on from the middle of a conversation.
type way int

const (
	anew   way = iota // it does not
	forks             // a fork does
	cuts              // the conversation itself does, without its end
	copies            // a copy does
)

// wayFrom returns how a prompt goes on from the middle of a conversation.
func (s *Store) wayFrom(p Prompt, from share) way {
	room := from.of.seq.Room()
	need := len(p.Tokens) - from.has
	cache := s.engine.Stats().Cache
	streamed := cache.StreamedLayers > cache.HostLayers
	switch {
	case from.has < granule:
		return anew
	case !streamed && room >= need+p.More:
		return forks
	case s.replaces(p, from) && !from.of.pinned:
		return cuts
	case !p.NoCopy:
		return copies
	case room >= need:
		return forks
	}
	return anew
}

// replaces reports whether a prompt goes on where an idle conversation's last answer began: it is the same
// conversation then, whose answer has become another one.
func (s *Store) replaces(p Prompt, from share) bool {
	at := from.of.turn
	return !from.of.busy && at > 0 && from.common >= min(at, len(p.Tokens)-1)
}

// copy begins to copy the beginning of a conversation, unless that is being done.
func (s *Store) copy(from share, salt string) (*copying, error) {
	tokens := from.of.seq.Tokens()[:from.here]
	for _, c := range s.copying {
		if c.salt == salt && common(c.tokens, tokens) == len(tokens) {
			return c, nil
		}
	}
	source, err := from.of.seq.Fork()
	if err != nil {
		return nil, err
	}
	s.use(from.of)
	ctx, stop := context.WithCancel(s.life)
	c := &copying{salt: salt, tokens: tokens, of: from.of, source: source, stop: stop, done: make(chan struct{})}
	s.copying = append(s.copying, c)
	written := min(from.of.written, from.here)
	go s.finish(ctx, c, written)
	return c, nil
}

// finish copies a beginning. Less useful conversations are given up for it, but for other copies that their prompts
// have not taken yet: those would be made again, and take the room back.
func (s *Store) finish(ctx context.Context, c *copying, written int) {
	defer func() {
		c.stop()
		close(c.done)
		s.options.Copied()
	}()
	seq, err := s.engine.Copy(ctx, c.source, len(c.tokens))
	for made := true; made && errors.Is(err, kv.ErrFull); {
		if made, _ = s.makeRoom(ctx, nil, func(c *Conversation) bool { return !c.copied }); made {
			seq, err = s.engine.Copy(ctx, c.source, len(c.tokens))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copying = slices.DeleteFunc(s.copying, func(other *copying) bool { return other == c })
	if closed := c.source.Close(); err == nil && closed != nil {
		err = errors.Join(closed, seq.Close())
	}
	if c.failed = err != nil; c.failed {
		return
	}
	s.stats.Copied++
	to := s.add(seq, Prompt{Salt: c.salt})
	to.tokens, to.written, to.copied = c.tokens, written, true
	s.use(to)
}

// stopCopy ends a copy that has some of what is short, as the error full says, and reports whether there is
// more room now. Whoever waits for the copy goes on without.
func (s *Store) stopCopy(ctx context.Context, full error) (made bool, err error) {
	tree, _ := errors.AsType[*kv.TreeFullError](full)
	s.mu.Lock()
	i := slices.IndexFunc(s.copying, func(c *copying) bool { return tree == nil || tree.Of(c.source) })
	if i < 0 {
		s.mu.Unlock()
		return false, nil
	}
	c := s.copying[i]
	s.mu.Unlock()
	c.stop()
	select {
	case <-c.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !c.failed { // it has ended before
		return s.askForRoom(ctx, full)
	}
	return true, nil
}

// ended reports whether a copy is there, or failed.
func (c *copying) ended() bool { return isClosed(c.done) }

// waitForCopies waits until nothing is copied any more.
func (s *Store) waitForCopies() {
	s.mu.Lock()
	all := slices.Clone(s.copying)
	s.mu.Unlock()
	for _, c := range all {
		<-c.done
	}
}
