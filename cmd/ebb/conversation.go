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
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/session"
)

// conversation is a chat with a model. Its sequence keeps the K/V of all turns, so a turn computes
// only its new tokens.
type conversation struct {
	engine   *ebb.Engine
	template *chat.Template
	config   ebb.GenerationConfig
	system   []chat.Message // nothing, or the system message
	options  chat.RenderOptions
	keepFull bool      // no turns are dropped when the context is full
	dim      bool      // reasoning is written dimmed
	notes    io.Writer // hears which turns are dropped

	seq      *kv.Seq
	messages []chat.Message
	results  []chat.Message // of some of the calls that wait for one
	saved    *savedSession  // where they are kept; nil: nowhere
	changed  bool           // since they were restored

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
	return c.goOn(ctx, append(slices.Clone(c.results), chat.Message{Role: "user", Content: text}), w)
}

// goOn says something to the model, which answers.
func (c *conversation) goOn(ctx context.Context, said []chat.Message, w io.Writer) (*answer, error) {
	messages, prompt, err := c.prompt(said)
	if err != nil {
		return nil, err
	}
	if dropped := turns(c.messages) + turns(said) - turns(messages); dropped > 0 {
		fmt.Fprintf(c.notes, "ebb: the context of %d tokens has no room for more, so the model forgets the oldest %s\n",
			c.engine.Context(), strings.TrimPrefix(count(dropped, "turn"), "1 "))
	}
	// The template may write earlier turns anew (and the tokenizer may split them differently), so
	// what was computed holds as far as the tokens are the same. One token at least is needed to
	// compute the next one from.
	tokens := prompt.tokens
	kept := max(0, min(commonPrefix(c.seq.Tokens(), tokens), len(tokens)-1))
	if err := c.seq.Truncate(kept); err != nil {
		return nil, err
	}
	c.changed = true
	if err := c.keepStates(messages, tokens, kept); err != nil {
		return nil, err
	}
	a, err := c.answer(ctx, tokens[kept:], prompt.format, w)
	if errors.Is(err, session.ErrDamaged) { // which is before any text comes
		noteDamage(err, c.notes)
		if err := c.forget(); err != nil {
			return nil, err
		}
		kept = 0
		a, err = c.answer(ctx, tokens, prompt.format, w)
	}
	if a == nil || len(a.best().IDs) == 0 {
		return nil, err
	}
	if kept := c.seq.SnapshotAt(c.seq.Len()); err == nil {
		err = kept
	}
	c.reused, c.last = kept, a
	c.messages, c.results = slices.Concat(messages, []chat.Message{a.message(0)}), nil
	return a, err
}

// keepStates asks for a snapshot where the assistant's turn begins in a prompt, of which some tokens are
// in the cache. The next prompt may differ from there on: templates leave reasoning out of earlier turns,
// and write the beginning of a turn otherwise.
func (c *conversation) keepStates(messages []chat.Message, prompt []int32, kept int) error {
	if !slices.ContainsFunc(c.engine.Config().Layers, model.Layer.Recurrent) {
		return nil
	}
	n := 0 // if the template wants the assistant to go on
	if before, err := renderMessages(c.engine, c.template, c.template.Express(messages), c.options); err == nil {
		n = commonPrefix(before, prompt)
	}
	if n == 0 || n < kept {
		return nil
	}
	return c.seq.SnapshotAt(n)
}

// answer goes on with some tokens.
func (c *conversation) answer(ctx context.Context, tokens []int32, format answerFormat, w io.Writer) (*answer, error) {
	return generateAnswer(ctx, c.engine, question{seq: c.seq, tokens: tokens, config: c.config, format: format, dim: c.dim, keepPrompt: true}, w)
}

// turns returns how many turns of the user there are.
func turns(messages []chat.Message) (n int) {
	for _, m := range messages {
		if m.Role == "user" {
			n++
		}
	}
	return n
}

// forget begins with an empty sequence.
func (c *conversation) forget() error {
	err := c.seq.Close()
	c.seq = c.engine.NewSeq()
	return err
}

// prompt returns the messages up to what is said now, and as the model reads them. If the context
// has no room for an answer, the oldest turns are dropped, but never the system message. Enough is
// dropped to leave a quarter of the context free: dropping changes the beginning of the prompt,
// which must then be computed again, and should not happen at every turn.
func (c *conversation) prompt(said []chat.Message) (messages []chat.Message, r rendered, err error) {
	context := c.engine.Context()
	room := min(max(c.config.MaxNewTokens, 1), context/2)
	messages = slices.Concat(c.messages, said)
	for first := len(c.system); ; {
		if r, err = renderPrompt(c.engine, c.template, c.template.Express(messages), c.options); err != nil {
			return nil, r, err
		}
		next := nextTurn(messages, first)
		if len(r.tokens)+room <= context || c.keepFull || next == len(messages) {
			break
		}
		room = max(room, context/4)
		messages = slices.Delete(messages, first, next) // what was said, and the answer
	}
	if len(r.tokens) > context {
		return nil, r, fmt.Errorf("%w: the conversation would have %d tokens, and the context holds %d",
			ebb.ErrPromptTooLong, len(r.tokens), context)
	}
	return messages, r, nil
}

// nextTurn returns where the turn after the one at first begins, or how many messages there are.
func nextTurn(messages []chat.Message, first int) int {
	for i := first + 1; i < len(messages); i++ {
		if messages[i].Role == "user" {
			return i
		}
	}
	return len(messages)
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
	c.results, c.reused, c.last = nil, 0, nil
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
