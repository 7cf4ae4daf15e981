package conversation

import (
	"errors"
	"runtime"
	"slices"
	"testing"
)

// A conversation that has gone on while it was written is written to its end.
func TestAConversationThatGoesOnWhileItIsWrittenIsWrittenAgain(t *testing.T) {
	e, s := withFiles(t, 512)
	tokens := slices.Repeat([]int32{11, 12, 13}, 40)
	compute := func(n int) (c *Conversation) {
		t.Helper()
		c, _, err := s.Take(t.Context(), Prompt{Tokens: tokens[:n]})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Prefill(t.Context(), c.Seq(), tokens[c.Seq().Len():n], 1)
		if err := errors.Join(err, s.Put(t.Context(), c, nil)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	s.records.disk.Lock() // the blocks are written, and not yet what is to be known of the conversation
	c := compute(50)
	for s.Stats().Files.Blocks == 0 {
		runtime.Gosched()
	}
	if next := compute(len(tokens)); next != c {
		t.Error("another conversation goes on")
	}
	s.records.disk.Unlock()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := s.files.find("", tokens); m.Tokens != len(tokens) {
		t.Errorf("files have %d tokens of %d", m.Tokens, len(tokens))
	} else if err := m.Close(); err != nil {
		t.Error(err)
	}
}
