package main

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/gguf"
)

// openStateChat begins a conversation with a model whose layers are recurrent. The model's turn begins
// with ">", which its template leaves out of earlier turns, as others do with reasoning.
func openStateChat(t *testing.T) *conversation {
	t.Helper()
	needLibraries(t)
	const template = "{% for m in messages %}<{{ m.role[0] }}{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
	path := filepath.Join(t.TempDir(), "states.gguf")
	if err := writeTinyModel(path, "tiny-qwen35", gguf.KV{Key: "tokenizer.chat_template", Value: template}); err != nil {
		t.Fatal(err)
	}
	engine, err := ebb.Open(path, ebb.Options{KVType: "f32", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConversation(engine, "", answerOf3)
	if err != nil {
		t.Fatal(errors.Join(err, engine.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestATurnOfAModelWithStatesComputesOnlyWhatIsNew(t *testing.T) {
	c := openStateChat(t)
	said := []string{"What is the capital of the moon?", "And of the sun, in all its glory?", "Thanks."}
	var kept, alone []string
	for _, say := range said {
		before := c.engine.Stats().Cache.RecomputedTokens
		a, err := c.ask(t.Context(), say, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		// The prompts of two turns part behind "<a", which the last one's snapshot does not have.
		if again := c.engine.Stats().Cache.RecomputedTokens - before; again > len("<a") {
			t.Errorf("%q: %d tokens were computed again, want at most %d", say, again, len("<a"))
		}
		kept = append(kept, a.best().Text)
	}
	answers := c.messages
	for i, say := range said { // the same turns with nothing kept
		if err := c.reset(); err != nil {
			t.Fatal(err)
		}
		c.messages = append([]chat.Message(nil), answers[:2*i]...)
		a, err := c.ask(t.Context(), say, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		alone = append(alone, a.best().Text)
	}
	if diff := cmp.Diff(alone, kept); diff != "" {
		t.Errorf("answers with nothing kept (-) and with the cache (+):\n%s", diff)
	}
}

func TestAConversationWithStatesGoesBackToTheEndOfATurn(t *testing.T) {
	c := openStateChat(t)
	if _, err := c.ask(t.Context(), "What is the capital of the moon?", io.Discard); err != nil {
		t.Fatal(err)
	}
	turn := len(c.messages)
	var texts []string
	for range 2 { // the same question, asked anew
		c.messages = c.messages[:turn]
		before := c.engine.Stats().Cache.RecomputedTokens
		a, err := c.ask(t.Context(), "And of the sun?", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if again := c.engine.Stats().Cache.RecomputedTokens - before; again > len("<a>") {
			t.Errorf("%d tokens were computed again, want at most %d", again, len("<a>"))
		}
		texts = append(texts, a.best().Text)
	}
	if texts[0] != texts[1] {
		t.Errorf("the same question was answered with %q and %q", texts[0], texts[1])
	}
}
