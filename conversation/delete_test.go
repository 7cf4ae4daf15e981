package conversation_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
)

// A conversation that is deleted, idle or busy, leaves the files that others share, and no others.
func TestADeletedConversationLeavesNoFiles(t *testing.T) {
	dir := t.TempDir()
	e, s := open(t, ebb.Options{Context: 1024}, conversation.Options{Dir: dir})
	files := func() int {
		t.Helper()
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.rows"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	shared := slices.Concat(numbers(0, 200), numbers(0, 100)) // a block of 256, and 44 tokens more
	first := computed(t, e, s, conversation.Prompt{Tokens: slices.Concat(shared, numbers(0, 9))})
	second := computed(t, e, s, conversation.Prompt{Tokens: slices.Concat(shared, numbers(50, 9))})
	if got := files(); got != 3 {
		t.Fatalf("two conversations with a block in common have %d files, want 3", got)
	}
	if err := s.Delete("", first); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != 2 {
		t.Errorf("the other one has %d files when one is deleted, want its 2", got)
	}
	c, _, err := s.Take(t.Context(), conversation.Prompt{Tokens: slices.Concat(shared, numbers(50, 9), numbers(0, 3))})
	if err != nil || c.ID != second {
		t.Fatalf("%v, %v", c, err)
	}
	if err := s.Delete("", second); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != 2 {
		t.Errorf("a busy conversation has %d files, want its 2 until it is put back", got)
	}
	if err := s.Put(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != 0 {
		t.Errorf("when all are deleted, %d files are left", got)
	}
}
