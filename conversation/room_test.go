package conversation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// meanwhile is a context that does something when somebody asks whether it has ended.
type meanwhile struct {
	context.Context //nolint:containedctx // it is one itself
	do              func()
}

func (m meanwhile) Err() error {
	m.do()
	return m.Context.Err()
}

// Room is made beside the steps, too, for copies of beginnings. A conversation that a prompt takes meanwhile is
// not given up.
func TestAConversationThatIsTakenIsNotGivenUp(t *testing.T) {
	e, err := ebb.Open(servicetest.WriteModel(t), ebb.Options{Context: 512})
	if err != nil {
		t.Fatal(err)
	}
	s, err := conversation.New(e, conversation.Options{Dir: t.TempDir(), DirBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	b := e.NewBatch(s.Batch(ebb.BatchOptions{}))
	defer func() {
		if err := errors.Join(b.Close(), s.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	}()
	prompt := make([]int32, 21)
	take := func(tokens int) *conversation.Conversation {
		c, _, err := s.Take(t.Context(), conversation.Prompt{Tokens: prompt[:tokens]})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	compute := func(c *conversation.Conversation, tokens int) {
		g, err := b.Add(ebb.Request{Seq: c.Seq(), Keep: true, Prompt: prompt[c.Seq().Len():tokens], Config: ebb.GenerationConfig{MaxNewTokens: 1}})
		if err == nil {
			err = errors.Join(b.Run(t.Context()), g.Err())
		}
		if err := errors.Join(err, s.Put(t.Context(), c, nil)); err != nil {
			t.Fatal(err)
		}
	}
	compute(take(20), 20)
	for s.Stats().Waiting > 0 { // until it is in files
		time.Sleep(time.Millisecond)
	}
	var taken *conversation.Conversation
	if _, err := s.MakeRoom(meanwhile{t.Context(), func() { taken = take(21) }}, nil); err != nil {
		t.Fatal(err)
	}
	compute(taken, 21)
	if stats := s.Stats(); stats.GivenUp != 0 || stats.Continued != 1 || stats.Conversations != 1 {
		t.Errorf("%+v; want one conversation, that was continued and not given up", stats)
	}
}
