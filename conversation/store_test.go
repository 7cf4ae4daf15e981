package conversation_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
)

func open(t *testing.T, engine ebb.Options, o conversation.Options) (*ebb.Engine, *conversation.Store) {
	t.Helper()
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", engine)
	if err != nil {
		t.Fatal(err)
	}
	s, err := conversation.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	return e, s
}

// numbers returns the tokens from first on.
func numbers(first, n int) (tokens []int32) {
	for i := range n {
		tokens = append(tokens, int32(10+first+i))
	}
	return tokens
}

// computed takes a conversation for a prompt, computes the rest and puts it back.
func computed(t *testing.T, e *ebb.Engine, s *conversation.Store, p conversation.Prompt) (id string) {
	t.Helper()
	c, _, err := s.Take(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Prefill(t.Context(), c.Seq(), p.Tokens[c.Seq().Len():], 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// Idle conversations are given up by what they are worth: replaced ones, then those that were not used for
// longest, then pinned ones.
func TestTheLeastUsefulConversationIsGivenUpFirst(t *testing.T) {
	e, s := open(t, ebb.Options{Context: 1024}, conversation.Options{})
	var ids []string
	for i := range 4 {
		id := computed(t, e, s, conversation.Prompt{Tokens: numbers(20*i, 60)[i:], Turn: 40})
		ids = append(ids, id)
	}
	// The third one's answer becomes another one, and the second one lends its beginning.
	edited := computed(t, e, s, conversation.Prompt{Tokens: slices.Concat(numbers(40, 60)[2:50], numbers(0, 5)), Turn: 40})
	lent := computed(t, e, s, conversation.Prompt{Tokens: slices.Concat(numbers(20, 60)[1:30], numbers(0, 5))})
	if err := s.Pin("", ids[0], true); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{ids[2], ids[3], edited, ids[1], lent, ids[0]} {
		before := s.List("")
		if made, err := s.MakeRoom(t.Context(), nil); !made || err != nil {
			t.Fatal(made, err)
		}
		after := s.List("")
		gone := slices.IndexFunc(before, func(x conversation.Info) bool {
			return !slices.ContainsFunc(after, func(y conversation.Info) bool { return x.ID == y.ID })
		})
		if before[gone].ID != want {
			t.Errorf("conversation %s went as number %d; want %s of %v, %s, %s", before[gone].ID, i, want, ids, edited, lent)
		}
	}
	if made, err := s.MakeRoom(t.Context(), nil); made || err != nil {
		t.Errorf("without any, room was made: %v, %v", made, err)
	}
}

// What is given up, busy, deleted or unknown, is said, and nothing of it is left.
func TestConversationsThatAreTakenAreNotGivenUp(t *testing.T) {
	e, s := open(t, ebb.Options{Context: 1024}, conversation.Options{})
	none := e.Stats().Cache
	c, _, err := s.Take(t.Context(), conversation.Prompt{Tokens: numbers(0, 50), Salt: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if made, err := s.MakeRoom(t.Context(), nil); made || err != nil {
		t.Errorf("a busy conversation was given up: %v", err)
	}
	if l := s.List("a"); len(l) != 1 || !l[0].Busy || l[0].Prompt != 50 || l[0].Tokens != 0 {
		t.Errorf("a busy conversation is listed as %+v", l)
	}
	// Another prompt with the same beginning waits for it, and no other one does.
	if other, found, err := s.Take(t.Context(), conversation.Prompt{Tokens: numbers(0, 60), Salt: "a"}); other != nil || !found.Waits || found.Soon() || err != nil {
		t.Errorf("a prompt that begins as a busy one took %v, %+v, %v", other, found, err)
	}
	if err := s.Delete("b", c.ID); !errors.Is(err, conversation.ErrUnknown) {
		t.Error(err)
	}
	if err := s.Delete("a", c.ID); err != nil {
		t.Error(err)
	}
	if _, err := e.Prefill(t.Context(), c.Seq(), numbers(0, 50), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), c, nil); err != nil {
		t.Error(err)
	}
	if left := e.Stats().Cache; len(s.List("a")) != 0 || left.DeviceBytes != none.DeviceBytes {
		t.Errorf("%d bytes are left of a conversation that was deleted", left.DeviceBytes)
	}
}
