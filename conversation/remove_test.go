package conversation

import (
	"errors"
	"slices"
	"testing"
)

// A conversation in files alone, in whose place another one is, keeps its files if a prompt has gone on with it
// before they were removed.
func TestAConversationThatGoesOnIsNotRemoved(t *testing.T) {
	e, s := withFiles(t, 1024)
	tokens := slices.Repeat([]int32{11, 12, 13}, 100)
	c := take(t, s, tokens)
	_, err := e.Prefill(t.Context(), c.Seq(), tokens, 1)
	if err := errors.Join(err, s.Put(t.Context(), c, nil), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if made, err := s.MakeRoom(t.Context(), nil); !made || err != nil {
		t.Fatal(made, err)
	}
	blocks := s.Stats().Files.Blocks

	s.writer.lock.Lock() // nothing is removed now
	s.mu.Lock()
	s.removeLater(&removal{c.ID, s.records.get(c.ID).trail, tokens})
	s.mu.Unlock()
	next := take(t, s, append(tokens, 14))
	s.writer.lock.Unlock()
	if next.ID != c.ID {
		t.Fatalf("%s goes on; want %s", next.ID, c.ID)
	}
	if err := errors.Join(s.Put(t.Context(), next, nil), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Files.Blocks; s.records.get(c.ID) == nil || got != blocks {
		t.Errorf("a conversation that goes on has %d files, and this record: %+v; want %d files", got, s.records.get(c.ID), blocks)
	}
}
