package chat

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/chat/jinja"
)

// ErrRefused is wrapped by the error of a template that raised an exception because it cannot
// express the messages: it does not know a role, or two turns of one role follow each other. The
// message is the template's.
var ErrRefused = errors.New("chat: the model's template refuses these messages")

// ErrLimit is wrapped by the error of a template that takes more time, memory, output or depth than
// rendering is given.
var ErrLimit = errors.New("chat: template exceeds a limit")

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // "system", "user", "assistant", "tool", or what the template knows
	Content string `json:"content"`
}

// Vars are the spellings of the model's tokens that templates refer to as bos_token and eos_token.
// An empty one is not defined.
type Vars struct {
	BOS, EOS string
}

// Template is a compiled chat template. It may be used from several goroutines.
type Template struct {
	parsed *jinja.Template
	vars   Vars
	limits jinja.Limits
}

// New compiles the template that a GGUF file has as tokenizer.chat_template.
func New(templateSource string, vars Vars) (*Template, error) {
	return compile(templateSource, vars, jinja.Limits{})
}

func compile(source string, vars Vars, limits jinja.Limits) (*Template, error) {
	if source == "" {
		return nil, errors.New("chat: the template is empty; the model has none, so give it plain text")
	}
	parsed, err := jinja.Parse(source)
	if err != nil {
		return nil, wrapped("template", err)
	}
	return &Template{parsed: parsed, vars: vars, limits: limits}, nil
}

// Render returns the text of the messages. It ends with the beginning of the assistant's next turn
// if addGenerationPrompt is set. It contains the spellings of special tokens, BOS included where
// the template writes it: tokenize it with special tokens parsed and none added.
//
// The contents are not escaped, as in the reference implementation: a message that spells a special
// token becomes one.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	if len(messages) == 0 {
		return "", errors.New("chat: no messages")
	}
	list := make([]jinja.Value, len(messages))
	for i, m := range messages {
		if m.Role == "" {
			return "", fmt.Errorf("chat: message %d has no role; want system, user, assistant or tool", i)
		}
		d := jinja.NewDict()
		d.Set("role", m.Role)
		d.Set("content", m.Content)
		list[i] = d
	}
	variables := map[string]jinja.Value{
		"messages":              jinja.NewList(list...),
		"add_generation_prompt": addGenerationPrompt,
		// They are defined and none, as transformers passes them.
		"tools":     nil,
		"documents": nil,
	}
	if t.vars.BOS != "" {
		variables["bos_token"] = t.vars.BOS
	}
	if t.vars.EOS != "" {
		variables["eos_token"] = t.vars.EOS
	}
	rendered, err := t.parsed.Render(variables, t.limits)
	if err != nil {
		return "", wrapped("render template", err)
	}
	return rendered, nil
}

// wrapped is an error of package jinja as an error of this one.
func wrapped(doing string, err error) error {
	switch {
	case errors.Is(err, jinja.ErrRaised):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, jinja.ErrLimit):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	return fmt.Errorf("chat: %s: %w", doing, err)
}
