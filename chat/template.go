package chat

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/seed4d217819/ebb/chat/jinja"
)

// ErrRefused is wrapped by the error of a template that raised an exception because it cannot
// express the messages: it does not know a role, or two turns of one role follow each other. The
// message is the template's.
var ErrRefused = errors.New("chat: the model's template refuses these messages")

// ErrLimit is wrapped by the error of a template that takes more time, memory, output or depth than
// rendering is given.
var ErrLimit = errors.New("chat: template exceeds a limit")

// Vars are the spellings of the model's tokens that templates refer to as bos_token and eos_token.
// An empty one is not defined.
type Vars struct {
	BOS, EOS string
}

// Template is a compiled chat template. It may be used from several goroutines.
type Template struct {
	source string
	parsed *jinja.Template
	vars   Vars
	limits jinja.Limits

	takesTools func() bool // renders once
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
	t := &Template{source: source, parsed: parsed, vars: vars, limits: limits}
	t.takesTools = sync.OnceValue(t.showsTools)
	return t, nil
}

// Format returns the format of the answers that the template was written for; see [FormatOf].
func (t *Template) Format(architecture string) Format { return FormatOf(t.source, architecture) }

// Reasons reports whether the template knows of reasoning: whether it has tags that stand around it. The
// model may then think before it answers.
func (t *Template) Reasons() bool {
	for _, tag := range []string{"<think>", "[THINK]", "<|channel>", "<|channel|>"} {
		if strings.Contains(t.source, tag) {
			return true
		}
	}
	return false
}

// Source returns what the template was compiled from.
func (t *Template) Source() string { return t.source }

// TakesTools reports whether the template shows tools to the model. One that does not knows nothing
// of calls and their results either.
func (t *Template) TakesTools() bool { return t.takesTools() }

// showsTools renders a prompt with a tool.
func (t *Template) showsTools() bool {
	const name = "a_function_of_this_name"
	tool := Tool{Name: name, definition: []byte(`{"type": "function", "function": {"name": "` + name + `", "description": "", "parameters": {"type": "object", "properties": {}}}}`)}
	text, err := t.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true, Tools: []Tool{tool}})
	return err == nil && strings.Contains(text, name)
}

// RenderOptions says what a prompt holds beside the messages. The zero value adds nothing.
type RenderOptions struct {
	// AddGenerationPrompt ends the prompt with the beginning of the assistant's next turn.
	AddGenerationPrompt bool
	// ContinueFinal ends the prompt within the last message, which is the assistant's and is to be
	// continued (prefill): behind its content, without what the template writes at the end of a turn. As
	// with transformers' continue_final_message, blanks at the end go where the template trims contents.
	// A parser of what follows is given the content first, and its events are dropped.
	ContinueFinal bool
	// Tools are those that the model may call.
	Tools []Tool
	// Variables is a JSON object with more variables of the template, such as enable_thinking of
	// Qwen3 or reasoning_effort of gpt-oss. Nil has none.
	Variables []byte
}

// Render returns the text of the messages. It contains the spellings of special tokens, BOS
// included where the template writes it: tokenize it with special tokens parsed and none added.
//
// The contents are not escaped, as in the reference implementation: a message that spells a special
// token becomes one.
func (t *Template) Render(messages []Message, o RenderOptions) (string, error) {
	if len(messages) == 0 {
		return "", errors.New("chat: no messages")
	}
	if o.ContinueFinal {
		return t.renderOpen(messages, o)
	}
	thinking := readsThinking.MatchString(t.source)
	list := make([]jinja.Value, len(messages))
	for i, m := range messages {
		if m.Role == "" {
			return "", fmt.Errorf("chat: message %d has no role; want system, user, assistant or tool", i)
		}
		list[i] = m.value(thinking)
	}
	variables, err := o.variables()
	if err != nil {
		return "", err
	}
	variables["messages"] = jinja.NewList(list...)
	if t.vars.BOS != "" {
		variables["bos_token"] = t.vars.BOS
	}
	if t.vars.EOS != "" {
		variables["eos_token"] = t.vars.EOS
	}
	rendered, err := t.parsed.Render(variables, t.limits)
	if err != nil {
		err = wrapped("render template", err)
		if i, call := brokenCall(messages); call != nil {
			err = fmt.Errorf("%w; the arguments of the call of %s in message %d are no JSON object, which may be why", err, call.Name, i)
		}
		return "", err
	}
	return rendered, nil
}

// brokenCall returns the first call whose arguments are no JSON object, and the index of its message;
// nil if there is none.
func brokenCall(messages []Message) (int, *ToolCall) {
	for i, m := range messages {
		for j, c := range m.ToolCalls {
			if _, isText := c.arguments().(string); isText {
				return i, &m.ToolCalls[j]
			}
		}
	}
	return 0, nil
}

// readsThinking matches a template that reads the reasoning of a message as its thinking.
var readsThinking = regexp.MustCompile(`message(\.thinking\b|\['thinking'\]|\["thinking"\])`)

// variables returns those that do not come from messages.
func (o *RenderOptions) variables() (map[string]jinja.Value, error) {
	variables := map[string]jinja.Value{}
	if o.Variables != nil {
		v, err := jinja.FromJSON(o.Variables)
		if err != nil {
			return nil, fmt.Errorf("chat: variables of the template: %w", err)
		}
		object, ok := v.(*jinja.Dict)
		if !ok {
			return nil, errors.New(`chat: the variables of the template are no JSON object: want one, as in {"enable_thinking": false}`)
		}
		variables = object.Map()
	}
	variables["add_generation_prompt"] = o.AddGenerationPrompt
	// They are defined and none without tools, as transformers passes them.
	variables["tools"], variables["documents"] = nil, nil
	if len(o.Tools) > 0 {
		tools := make([]jinja.Value, len(o.Tools))
		for i, t := range o.Tools {
			v, err := jinja.FromJSON(t.definition)
			if err != nil {
				return nil, fmt.Errorf("chat: tool %d: %w", i, err)
			}
			tools[i] = v
		}
		variables["tools"] = jinja.NewList(tools...)
	}
	return variables, nil
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
