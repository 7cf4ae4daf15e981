package service

import (
	"context"
	"errors"
	"sync"

	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/generate"
)

// Stats are what a service does now, and has done since it began. What its engine has done is in
// [ebb.Stats].
type Stats struct {
	Requests int // that wait or are under way
	Queue    int // how many there may be

	Answers   int // that have ended
	Cancelled int // of these, by their client
	Failed    int // of these, with another error

	Prompt int   // tokens of prompts
	Cached Tiers // of these, those that were not computed
	New    int   // tokens generated

	// Batch counts requests that had to wait for room after they had begun, and tokens that were computed
	// again for that.
	Batch         generate.BatchStats
	Conversations conversation.Stats
}

// counts are the counters of [Stats].
type counts struct {
	mu    sync.Mutex
	stats Stats
}

// begin counts an answer that begins.
func (c *counts) begin(prompt int, by Tiers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Prompt += prompt
	c.stats.Cached.Device += by.Device
	c.stats.Cached.Host += by.Host
	c.stats.Cached.Disk += by.Disk
}

// waited notes what the batch has counted.
func (c *counts) waited(b generate.BatchStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Batch = b
}

// end counts an answer that has ended.
func (c *counts) end(tokens int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Answers++
	c.stats.New += tokens
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errEnded):
		c.stats.Cancelled++
	default:
		c.stats.Failed++
	}
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	s.counts.mu.Lock()
	stats := s.counts.stats
	s.counts.mu.Unlock()
	stats.Requests, stats.Queue = int(s.requests.Load()), cap(s.places)
	stats.Conversations = s.conversations.Stats()
	return stats
}

// Conversations describes what is kept for an owner: the conversations of its requests, which have its salt,
// or one that begins with it and a zero byte. The one used last comes first.
func (s *Service) Conversations(owner string) []conversation.Info { return s.conversations.List(owner) }

// DeleteConversation gives up a conversation of an owner; one for which something is computed, when that has
// ended. The error of one that there is not is [conversation.ErrUnknown].
func (s *Service) DeleteConversation(owner, id string) error {
	return s.conversations.Delete(owner, id)
}

// PinConversation has a conversation of an owner given up after all others, or takes that back.
func (s *Service) PinConversation(owner, id string, pinned bool) error {
	return s.conversations.Pin(owner, id, pinned)
}

// ExportConversation writes a conversation of an owner for which nothing is computed to a session's file, as
// ebb run --session and [ebb.Engine.OpenSession] read it, and returns that, which the caller closes. The error of
// one for which something is computed is [conversation.ErrBusy]; see [conversation.Store.Export].
func (s *Service) ExportConversation(ctx context.Context, owner, id string) (*conversation.Export, error) {
	return s.conversations.Export(ctx, owner, id)
}
