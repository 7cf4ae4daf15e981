package service

import (
	"context"
	"testing"

	"github.com/seed4d217819/ebb/conversation"
)

// However many come behind a prompt that waits for room, none of them takes what room there will be.
func TestNobodyOvertakesAPromptThatWaitsForRoom(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var l line
	for range 4 {
		l.waiting = append(l.waiting, &Answer{ctx: ctx, cancel: cancel, news: make(chan struct{}, 1)})
	}
	l.waiting[0].found = conversation.Found{Waits: true, Full: true}
	var s Service // it has no conversations: one that began would panic
	s.join(&l)
	if len(l.waiting) != 4 || len(l.going) != 0 {
		t.Errorf("%d wait and %d go on; want all to wait", len(l.waiting), len(l.going))
	}
}
