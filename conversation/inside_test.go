package conversation

import (
	"errors"
	"testing"

	"github.com/seed4d217819/ebb"
)

// withFiles returns a store with files, and its engine, of a tiny model with so large a context. The test closes
// them at its end.
func withFiles(t *testing.T, context int) (*ebb.Engine, *Store) {
	t.Helper()
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: context})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(e, Options{Dir: t.TempDir(), DirBytes: 1 << 30})
	if err != nil {
		t.Fatal(errors.Join(err, e.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	return e, s
}

// take takes the conversation of a prompt.
func take(t *testing.T, s *Store, tokens []int32) *Conversation {
	t.Helper()
	c, _, err := s.Take(t.Context(), Prompt{Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
