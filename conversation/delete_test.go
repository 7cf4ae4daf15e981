package conversation_test

import (
	"os"
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

// A conversation can be deleted whose files are damaged in the middle. What is left of it goes, and what it
// shares with another one stays.
func TestADamagedConversationIsDeleted(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 1 << 30})
	files := func() []string {
		t.Helper()
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.rows"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	begins := slices.Concat(numbers(0, 200), numbers(0, 56))
	computed(t, p.engine, p.Store, conversation.Prompt{Tokens: begins})
	damaged := files()
	shared := slices.Concat(begins, begins, numbers(0, 60))
	first := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: slices.Concat(shared, numbers(0, 9))})
	second := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: slices.Concat(shared, numbers(50, 9))})
	if all := files(); len(damaged) != 1 || len(all) != 4 {
		t.Fatalf("two conversations with two blocks in common have %d files, and the first block %d; want 4 and 1", len(all), len(damaged))
	}
	p.restart()
	b, err := os.ReadFile(damaged[0])
	if err != nil {
		t.Fatal(err)
	}
	b[8200] ^= 1
	if err := os.WriteFile(damaged[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fork(t.Context(), "", first); !conversation.Damaged(err) {
		t.Fatalf("exported: %v; want it to be damaged", err)
	}
	for _, tt := range []struct {
		id   string
		left int
	}{{first, 2}, {second, 0}} {
		if err := p.Delete("", tt.id); err != nil {
			t.Fatal(err)
		}
		if got := files(); len(got) != tt.left {
			t.Errorf("%d files are left, want %d", len(got), tt.left)
		}
	}
}
