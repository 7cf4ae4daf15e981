package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// conversation is a chat with a model. Its sequence keeps the K/V of all turns, so a turn computes
// only its new tokens.
type conversation struct {
	engine   *ebb.Engine
	template *chat.Template
	config   ebb.GenerationConfig
	system   []chat.Message // nothing, or the system message
	keepFull bool           // no turns are dropped when the context is full
	notes    io.Writer      // hears which turns are

	seq      *kv.Seq
	messages []chat.Message
	saved    *savedSession // where they are kept; nil: nowhere
	changed  bool          // since they were restored

	reused int     // tokens of the last turn's prompt that were in the cache
	last   *answer // the last turn's; nil before the first
}

// newConversation begins a conversation. The caller closes it.
func newConversation(engine *ebb.Engine, system string, config ebb.GenerationConfig) (*conversation, error) {
	template, err := engine.Template()
	if err != nil {
		return nil, fmt.Errorf("%w, with ebb run --raw", err)
	}
	c := &conversation{engine: engine, template: template, config: config, system: systemMessage(system), notes: io.Discard, seq: engine.NewSeq()}
	c.messages = slices.Clone(c.system)
	return c, nil
}

// ask puts a question to the model. The answer is written to w as it is generated. An answer that
// ends with an error, such as a cancelled context, stays in the conversation as far as it came;
// without any answer the question is dropped too.
func (c *conversation) ask(ctx context.Context, text string, w io.Writer) (*answer, error) {
	messages, tokens, err := c.prompt(chat.Message{Role: "user", Content: text})
	if err != nil {
		return nil, err
	}
	if dropped := (1 + len(c.messages) - len(messages)) / 2; dropped > 0 {
		fmt.Fprintf(c.notes, "ebb: the context of %d tokens has no room for more, so the model forgets the oldest %s\n",
			c.engine.Context(), strings.TrimPrefix(count(dropped, "turn"), "1 "))
	}
	// The template may write earlier turns anew (and the tokenizer may split them differently), so
	// what was computed holds as far as the tokens are the same. One token at least is needed to
	// compute the next one from.
	kept := max(0, min(commonPrefix(c.seq.Tokens(), tokens), len(tokens)-1))
	if err := c.seq.Truncate(kept); err != nil {
		return nil, err
	}
	c.changed = true
	a, err := c.answer(ctx, tokens[kept:], w)
	if errors.Is(err, session.ErrDamaged) { // which is before any text comes
		noteDamage(err, c.notes)
		if err := c.forget(); err != nil {
			return nil, err
		}
		kept = 0
		a, err = c.answer(ctx, tokens, w)
	}
	if a == nil || len(a.best().IDs) == 0 {
		return nil, err
	}
	c.reused, c.last = kept, a
	c.messages = slices.Concat(messages, []chat.Message{{Role: "assistant", Content: a.best().Text}})
	return a, err
}

// answer goes on with some tokens.
func (c *conversation) answer(ctx context.Context, tokens []int32, w io.Writer) (*answer, error) {
	return generateAnswer(ctx, c.engine, question{seq: c.seq, tokens: tokens, config: c.config, keepPrompt: true}, w)
}

// forget begins with an empty sequence.
func (c *conversation) forget() error {
	err := c.seq.Close()
	c.seq = c.engine.NewSeq()
	return err
}

// prompt returns the messages up to a question, and their tokens. If the context has no room for an
// answer, the oldest turns are dropped, but never the system message. Enough is dropped to leave a
// quarter of the context free: dropping changes the beginning of the prompt, which must then be
// computed again, and should not happen at every turn.
func (c *conversation) prompt(question chat.Message) (messages []chat.Message, tokens []int32, err error) {
	context := c.engine.Context()
	room := min(max(c.config.MaxNewTokens, 1), context/2)
	messages = append(slices.Clone(c.messages), question)
	for first := len(c.system); ; {
		if tokens, err = renderTokens(c.engine, c.template, messages); err != nil {
			return nil, nil, err
		}
		if len(tokens)+room <= context || c.keepFull || len(messages) == first+1 {
			break
		}
		room = max(room, context/4)
		messages = slices.Delete(messages, first, first+2) // what was said, and the answer
	}
	if len(tokens) > context {
		return nil, nil, fmt.Errorf("%w: the conversation would have %d tokens, and the context holds %d",
			ebb.ErrPromptTooLong, len(tokens), context)
	}
	return messages, tokens, nil
}

// open goes on with a session, and keeps the conversation there.
func (c *conversation) open(ctx context.Context, saved *savedSession) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	seq, err := saved.restore(ctx, c.engine, len(saved.tokens()), c.notes)
	if err != nil {
		return err
	}
	err = c.seq.Close()
	c.saved, c.seq = saved, seq
	if saved.said == nil {
		return err
	}
	said := saved.said.Messages
	if len(said) > 0 && said[0].Role == "system" {
		if len(c.system) == 0 {
			c.system = said[:1]
		}
		said = said[1:]
	}
	c.messages = slices.Concat(c.system, said)
	return err
}

// save keeps the conversation in its session, if it has changed.
func (c *conversation) save() error {
	if c.saved == nil || !c.changed {
		return nil
	}
	return c.saved.save(c.seq, &transcript{Messages: c.messages})
}

// reset forgets what was said.
func (c *conversation) reset() error {
	c.changed = true
	c.messages = slices.Clone(c.system)
	c.reused, c.last = 0, nil
	return c.forget()
}

// Close frees the cache.
func (c *conversation) Close() error { return c.seq.Close() }

// commonPrefix returns how many tokens a and b begin with in common.
func commonPrefix(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
