package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
)

// conversation is a chat with a model. Its sequence keeps the K/V of what was said, so only what is new in a turn is
// computed.
type conversation struct {
	engine   *ebb.Engine
	template *chat.Template
	config   ebb.GenerationConfig
	system   []chat.Message // nothing, or the system message

	seq      *kv.Seq
	messages []chat.Message

	reused int     // tokens of the last turn's prompt that were in the cache
	last   *answer // the last turn's; nil before the first
}

// newConversation begins a conversation. The caller closes it.
func newConversation(engine *ebb.Engine, system string, config ebb.GenerationConfig) (*conversation, error) {
	template, err := engine.Template()
	if err != nil {
		return nil, err
	}
	c := &conversation{engine: engine, template: template, config: config, system: systemMessage(system), seq: engine.NewSeq()}
	c.messages = slices.Clone(c.system)
	return c, nil
}

// ask says something to the model. Its answer goes to w as it comes. What was answered before an error, a cancelled
// context among them, is part of the conversation; if that is nothing, neither is the question.
func (c *conversation) ask(ctx context.Context, text string, w io.Writer) (*answer, error) {
	messages := append(slices.Clone(c.messages), chat.Message{Role: "user", Content: text})
	tokens, err := renderTokens(c.engine, c.template, messages)
	if err != nil {
		return nil, err
	}
	if len(tokens) > c.engine.Context() {
		return nil, fmt.Errorf("%w: the conversation would have %d tokens, and the context holds %d",
			ebb.ErrPromptTooLong, len(tokens), c.engine.Context())
	}
	// The template may write earlier turns anew (and the tokenizer may split them differently), so what was computed
	// holds as far as the tokens are the same. One token at least is needed to compute the next one from.
	kept := max(0, min(commonPrefix(c.seq.Tokens(), tokens), len(tokens)-1))
	if err := c.seq.Truncate(kept); err != nil {
		return nil, err
	}
	a, err := generateAnswer(ctx, c.engine, question{seq: c.seq, tokens: tokens[kept:], config: c.config, goesOn: true}, w)
	if a == nil || len(a.best().IDs) == 0 {
		return nil, err
	}
	c.reused, c.last = kept, a
	c.messages = slices.Concat(messages, []chat.Message{{Role: "assistant", Content: a.best().Text}})
	return a, err
}

// reset forgets what was said.
func (c *conversation) reset() error {
	c.messages = slices.Clone(c.system)
	c.reused, c.last = 0, nil
	return c.seq.Truncate(0)
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
