package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
)

func openChat(t *testing.T, o ebb.Options, cfg ebb.GenerationConfig) *conversation {
	t.Helper()
	needLibraries(t)
	path := filepath.Join(t.TempDir(), "chat.gguf")
	if err := writeChatModel(path); err != nil {
		t.Fatal(err)
	}
	o.KVType, o.Threads = "f32", 1
	engine, err := ebb.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConversation(engine, "", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}

var answerOf3 = ebb.GenerationConfig{MaxNewTokens: 3}

func TestATurnComputesOnlyWhatIsNew(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Dynamic, kv.Static, kv.Offloaded, kv.OffloadedStatic} {
		t.Run(policy.String(), func(t *testing.T) {
			c := openChat(t, ebb.Options{Cache: policy, ForcedCopies: true}, answerOf3)
			var kept, texts []string
			for _, say := range []string{"one", "two", "three"} {
				held := c.seq.Tokens()
				a, err := c.ask(t.Context(), say, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				rendered, err := renderPrompt(c.engine, c.template, c.messages[:len(c.messages)-1], c.options)
				if err != nil {
					t.Fatal(err)
				}
				prompt := rendered.tokens
				if want := commonPrefix(held, prompt); c.reused != want || a.prefilled != len(prompt)-want {
					t.Errorf("%q: reused %d and computed %d of %d tokens, want %d reused", say, c.reused, a.prefilled, len(prompt), want)
				}
				if len(held) > 0 && c.reused < len(held)/2 {
					t.Errorf("%q: reused %d of the %d tokens in the cache", say, c.reused, len(held))
				}
				kept = append(kept, a.best().Text)
			}
			// The same turns with nothing kept.
			messages := c.messages
			for i := 1; i < len(messages); i += 2 {
				if err := c.reset(); err != nil {
					t.Fatal(err)
				}
				c.messages = messages[:i-1]
				a, err := c.ask(t.Context(), messages[i-1].Content, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				if c.reused != 0 {
					t.Errorf("reused %d tokens after reset", c.reused)
				}
				texts = append(texts, a.best().Text)
			}
			if diff := cmp.Diff(kept, texts); diff != "" {
				t.Errorf("answers with the cache kept (-) and without (+):\n%s", diff)
			}
		})
	}
}

// cancelAfter cancels once n pieces were written.
type cancelAfter struct {
	n      int
	cancel context.CancelFunc
}

func (w *cancelAfter) Write(p []byte) (int, error) {
	if w.n--; w.n == 0 {
		w.cancel()
	}
	return len(p), nil
}

func TestAnInterruptedAnswerStaysInTheConversation(t *testing.T) {
	c := openChat(t, ebb.Options{Cache: kv.Offloaded}, ebb.GenerationConfig{MaxNewTokens: 100, EOSTokenID: ebb.TokenIDs{}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := c.ask(ctx, "go on", &cancelAfter{5, cancel})
	if !errors.Is(err, context.Canceled) || a == nil || len(a.best().IDs) != 5 {
		t.Fatalf("answer %+v, error %v; want 5 tokens and %v", a, err, context.Canceled)
	}
	want := []chat.Message{{Role: "user", Content: "go on"}, {Role: "assistant", Content: a.best().Text}}
	if diff := cmp.Diff(c.messages, want); diff != "" {
		t.Errorf("conversation (-got +want):\n%s", diff)
	}
	c.config = answerOf3
	if _, err := c.ask(t.Context(), "next", io.Discard); err != nil || c.reused == 0 {
		t.Errorf("next turn: error %v, reused %d tokens; want none and some", err, c.reused)
	}
}

func TestAFullContextDropsTheOldestTurnsAndKeepsTheSystemMessage(t *testing.T) {
	c := openChat(t, ebb.Options{Cache: kv.Static, Context: 200}, ebb.GenerationConfig{MaxNewTokens: 8, EOSTokenID: ebb.TokenIDs{}})
	c.system = systemMessage("sys")
	if err := c.reset(); err != nil {
		t.Fatal(err)
	}
	var notes strings.Builder
	c.notes = &notes
	said := func() (turns []string) {
		for _, m := range c.messages {
			if m.Role != "assistant" {
				turns = append(turns, m.Content)
			}
		}
		return turns
	}
	for i, want := range [][]string{
		{"sys", "turn 0"},
		{"sys", "turn 0", "turn 1"},
		{"sys", "turn 0", "turn 1", "turn 2"},
		{"sys", "turn 0", "turn 1", "turn 2", "turn 3"},
		{"sys", "turn 0", "turn 1", "turn 2", "turn 3", "turn 4"},
		{"sys", "turn 3", "turn 4", "turn 5"},
		{"sys", "turn 3", "turn 4", "turn 5", "turn 6"}, // a quarter of the context was made free, so there is room again
	} {
		before := notes.Len()
		if _, err := c.ask(t.Context(), fmt.Sprintf("turn %d", i), io.Discard); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(said(), want); diff != "" {
			t.Errorf("turn %d (-got +want):\n%s", i, diff)
		}
		if told := notes.Len() > before; told != (i == 5) {
			t.Errorf("turn %d: notes %q", i, notes.String()[before:])
		}
	}
	if got, want := notes.String(), "ebb: the context of 200 tokens has no room for more, so the model forgets the oldest 3 turns\n"; got != want {
		t.Errorf("notes %q, want %q", got, want)
	}

	// A question that does not fit by itself drops nothing.
	before := c.messages
	if _, err := c.ask(t.Context(), strings.Repeat("more ", 80), io.Discard); !errors.Is(err, ebb.ErrPromptTooLong) {
		t.Errorf("error %v, want %v", err, ebb.ErrPromptTooLong)
	}
	if diff := cmp.Diff(c.messages, before); diff != "" {
		t.Errorf("conversation after a question that does not fit (-got +want):\n%s", diff)
	}
}

func TestAFullContextKeepsTheConversation(t *testing.T) {
	c := openChat(t, ebb.Options{Cache: kv.Static, Context: 60}, ebb.GenerationConfig{MaxNewTokens: 100, EOSTokenID: ebb.TokenIDs{}})
	a, err := c.ask(t.Context(), "hello there", io.Discard)
	if !errors.Is(err, kv.ErrFull) || a == nil || len(c.messages) != 2 {
		t.Fatalf("answer %v, error %v, %d messages; want part of an answer, %v and 2", a, err, len(c.messages), kv.ErrFull)
	}
	said := c.messages
	if _, err := c.ask(t.Context(), strings.Repeat("more ", 20), io.Discard); !errors.Is(err, ebb.ErrPromptTooLong) {
		t.Errorf("error %v, want %v", err, ebb.ErrPromptTooLong)
	}
	if diff := cmp.Diff(c.messages, said); diff != "" {
		t.Errorf("conversation after a question that does not fit (-got +want):\n%s", diff)
	}
	if err := c.reset(); err != nil {
		t.Fatal(err)
	}
	c.config = answerOf3
	if _, err := c.ask(t.Context(), "hello there", io.Discard); err != nil {
		t.Errorf("after reset: %v", err)
	}
}
