package conversation_test

import (
	"errors"
	"os"
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
