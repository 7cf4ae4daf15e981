package conversation_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
)

// What a conversation has lost is written late, and is not taken for what has come in its place.
func TestWhatHasReplacedAnAnswerIsWritten(t *testing.T) {
	dir, fails, goOn := t.TempDir(), make(chan string), make(chan bool)
	e, s := open(t, ebb.Options{Context: 1024}, conversation.Options{Dir: dir, DirBytes: 1 << 30, Notify: func(line string) {
		fails <- line
		<-goOn
	}})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	computed(t, e, s, conversation.Prompt{Tokens: numbers(0, 50), Salt: "other"})
	<-fails // the goroutine that writes is kept from going on
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	take := func(p conversation.Prompt) *conversation.Conversation {
		c, _, err := s.Take(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	compute := func(c *conversation.Conversation, tokens []int32) {
		if _, err := e.Prefill(t.Context(), c.Seq(), tokens[c.Seq().Len():], 1); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Keep(c, true), s.Put(t.Context(), c, nil)); err != nil {
			t.Fatal(err)
		}
	}
	first, edited := numbers(0, 100), slices.Concat(numbers(0, 60), numbers(70, 20))
	compute(take(conversation.Prompt{Tokens: first, Turn: 40}), first)
	c := take(conversation.Prompt{Tokens: edited, Turn: 40, More: 1000})
	if s.Stats().Cut != 1 || c.Seq().Len() != 60 {
		t.Fatalf("%+v: want the answer cut off", s.Stats())
	}
	close(goOn)
	for s.Stats().Files.Blocks == 0 {
		runtime.Gosched()
	}
	if err := s.Flush(t.Context()); err != nil { // the first answer is written
		t.Fatal(err)
	}
	compute(c, edited)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := s.List(""); len(l) != 1 || l[0].Files != len(edited) || s.Stats().Files.Blocks != 3 {
		t.Errorf("files have %+v, %+v; want a block of each answer, and of the other salt", l, s.Stats().Files)
	}
}

// Where files are damaged, no conversation is kept that has some of what was lost.
func TestConversationsThatShareWhatIsLostAreGone(t *testing.T) {
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	dir := t.TempDir()
	o := conversation.Options{Dir: dir, DirBytes: 1 << 30}
	prompt := make([]int32, 300)
	for i := range prompt {
		prompt[i] = int32(10 + i%200)
	}
	s, err := conversation.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	computed(t, e, s, conversation.Prompt{Tokens: prompt})
	if err := errors.Join(s.Flush(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.rows"))
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[5000] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = conversation.New(e, o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// A request is cancelled before it knows, and others begin as it does.
	first, found, err := s.Take(t.Context(), conversation.Prompt{Tokens: prompt})
	if err != nil || !found.Files {
		t.Fatal(found, err)
	}
	if err := s.Put(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	for tries := 0; ; tries++ {
		tokens := slices.Concat(prompt[:200], numbers(0, 20))
		c, found, err := s.Take(t.Context(), conversation.Prompt{Tokens: tokens})
		if err != nil {
			t.Fatal(err)
		}
		_, lost := e.Prefill(t.Context(), c.Seq(), tokens[c.Seq().Len():], 1)
		if err := s.Put(t.Context(), c, lost); err != nil {
			t.Fatal(err)
		}
		if lost == nil && found.Cached == 0 {
			break
		}
		if tries > 0 || !conversation.Damaged(lost) {
			t.Fatalf("try %d, of which %d tokens were there, ended with %v", tries, found.Cached, lost)
		}
	}
}
