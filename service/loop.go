package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/generate"
)

// run takes steps until the service is closed. It is the only goroutine that uses the batch, and that
// takes conversations.
func (s *Service) run() {
	defer close(s.stopped)
	var l line
	defer func() {
		s.ended = s.batch.Close()
		for _, a := range slices.Concat(l.waiting, s.queue.close()) {
			s.end(a, ErrClosed)
		}
		for _, a := range l.going {
			s.ended = errors.Join(s.ended, s.putBack(a))
			s.end(a, ErrClosed)
		}
	}()
	for s.ctx.Err() == nil {
		if !s.admit(&l) {
			return
		}
		began := time.Now()
		if _, err := s.batch.Step(s.ctx); err != nil {
			return // the service is closed: no other context ends a step
		}
		s.counts.waited(s.batch.Stats())
		if s.options.Step != nil {
			s.options.Step(Step{time.Since(began), len(l.going)})
		}
		s.deliver(&l)
	}
}

// line has the requests that have come and not ended.
type line struct {
	waiting []*Answer // for what others compute of their prompts, in the order in which they came
	going   []*Answer // in the batch
}

// admit adds the requests that have come to those that are under way. Where there are none, it waits for
// one. It returns false if the service is closed meanwhile.
func (s *Service) admit(l *line) bool {
	for {
		l.waiting = append(l.waiting, s.queue.take()...)
		if s.join(l); len(l.going) > 0 {
			return s.ctx.Err() == nil
		}
		select {
		case <-s.queue.news:
		case <-s.ctx.Done():
			return false
		}
	}
}

// join adds those that wait to the batch, as far as they need not wait any more.
func (s *Service) join(l *line) {
	left, full := l.waiting[:0], false
	for _, a := range l.waiting {
		if full && a.ctx.Err() == nil { // what room there will be is for the one that waits for it
			left = append(left, a)
			continue
		}
		switch err := s.begin(a); {
		case err != nil:
			s.end(a, err)
		case a.generation == nil:
			left, full = append(left, a), a.found.Full
		default:
			l.going = append(l.going, a)
		}
	}
	clear(l.waiting[len(left):])
	l.waiting = left
}

// begin adds a request to the batch, with what is computed of its prompt already, unless it is worth
// waiting for more.
func (s *Service) begin(a *Answer) error {
	if a.ctx.Err() != nil {
		return fmt.Errorf("service: the request was cancelled: %w", context.Cause(a.ctx))
	}
	var err error
	if a.request.PromptLogProbs {
		a.generation, err = s.batch.Add(ebb.Request{Context: a.ctx, Prompt: a.prompt.tokens, Config: a.prompt.config, PromptLogProbs: true})
		if err == nil {
			s.counts.begin(len(a.prompt.tokens), Tiers{})
		}
		return asRequest(err)
	}
	if a.found.Waits && !a.found.Soon() {
		return nil
	}
	before := a.found
	if a.conversation, a.found, err = s.conversations.Take(s.ctx, a.asks()); err != nil {
		return err
	}
	if before.Copied() { // what the prompt has left is what was copied
		a.found.Left = before.Left
	}
	if a.conversation == nil {
		return nil
	}
	seq := a.conversation.Seq()
	cache := s.engine.Stats().Cache
	a.generation, err = s.batch.Add(ebb.Request{
		Context: a.ctx, Seq: seq, Keep: true, Prompt: a.prompt.tokens[seq.Len():], Config: s.withLookup(a.prompt.config, a.request.NoLookup),
	})
	if err != nil {
		c := a.conversation
		a.conversation = nil
		return errors.Join(asRequest(err), s.conversations.Put(s.ctx, c, nil))
	}
	var by Tiers
	switch {
	case a.found.Files:
		by.Disk = a.found.Cached
	case cache.StreamedLayers > cache.HostLayers:
		by.Host = a.found.Cached
	default:
		by.Device = a.found.Cached
	}
	a.beginWith(a.conversation.ID, a.found, by)
	s.counts.begin(len(a.prompt.tokens), by)
	return nil
}

// withLookup has tokens guessed where a request does not say whether.
func (s *Service) withLookup(c ebb.GenerationConfig, none bool) ebb.GenerationConfig {
	if !none && c.PromptLookupNumTokens == 0 && c.NumBeams <= 1 && c.NumReturnSequences <= 1 && s.options.PromptLookup >= 0 {
		c.PromptLookupNumTokens = s.options.PromptLookup
		if c.PromptLookupNumTokens == 0 && s.linked() {
			c.PromptLookupNumTokens = lookupOverLinks
		}
	}
	return c
}

// lookupOverLinks is how many tokens are guessed at a time where layers are streamed to a GPU.
const lookupOverLinks = 10

// linked reports whether layers are streamed to a GPU.
func (s *Service) linked() bool {
	stats := s.engine.Stats()
	return stats.Cache.StreamedLayers > stats.Cache.HostLayers &&
		slices.ContainsFunc(stats.Devices, func(d ebb.DeviceStats) bool { return d.Name != "cpu" })
}

// asRequest returns an error of [ebb.Batch.Add]: what is wrong with a request.
func asRequest(err error) error {
	if err == nil {
		return nil
	}
	return &RequestError{"", err}
}

// deliver gives answers what a step has found, and ends those that are done.
func (s *Service) deliver(l *line) {
	left := l.going[:0]
	for _, a := range l.going {
		begins := a.take()
		err := a.generation.Err()
		switch {
		case !a.generation.Done():
			if a.conversation != nil {
				phase := a.generation.Phase()
				s.conversations.Waits(a.conversation, phase == generate.Queued || phase == generate.SetAside)
				if err := s.conversations.Keep(a.conversation, begins); err != nil {
					s.notify(err)
				}
			}
			left = append(left, a)
		case conversation.Damaged(err) && !a.hasBegun():
			if err := s.putBack(a); err != nil {
				s.notify(err)
			}
			a.generation = nil
			l.waiting = append(l.waiting, a)
		default:
			s.end(a, errors.Join(err, s.putBack(a)))
		}
	}
	clear(l.going[len(left):])
	l.going = left
}

// putBack gives back the conversation of an answer that has ended, if it has one.
func (s *Service) putBack(a *Answer) error {
	c := a.conversation
	if c == nil {
		return nil
	}
	a.conversation = nil
	lost := a.generation.Err()
	if !conversation.Damaged(lost) {
		lost = nil
	}
	return s.conversations.Put(s.ctx, c, lost)
}

// notify tells the operator of an error that ends no answer.
func (s *Service) notify(err error) {
	if s.options.Notify != nil {
		s.options.Notify(err.Error())
	}
}

// end ends an answer and gives back its place.
func (s *Service) end(a *Answer, err error) {
	a.end(err)
	s.counts.end(a.Usage().New, err)
	s.leave()
}
