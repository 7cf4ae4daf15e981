package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/ardanlabs/jinja"
)

// ErrRefused is wrapped by the error of a template that raised an exception,
// because it cannot express the messages: a role it does not know, two turns of
// one role in a row. The message is the template's.
var ErrRefused = errors.New("chat: the model's template refuses these messages")

// ErrLimit is wrapped by the error of a template that asks for more time, output
// or depth than rendering is given.
var ErrLimit = errors.New("chat: template exceeds a limit")

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // "system", "user", "assistant", "tool", or what the template knows
	Content string `json:"content"`
}

// Vars are the spellings of the model's tokens that templates refer to as
// bos_token and eos_token. An empty one is not defined.
type Vars struct {
	BOS, EOS string
}

// limits bound one rendering, or the source.
type limits struct {
	source int           // bytes of a template; the largest known are 20 KiB
	output int           // bytes
	span   int           // numbers in one range()
	nested int           // bytes of template that may be nested in macro calls
	time   time.Duration // from the start of a rendering
}

// standard leaves a factor of at least ten to every template and context that
// is known. nested keeps the interpreter's stack below Go's limit of 1 GB, which
// ends the process: it takes up to 400 bytes a byte of template.
var standard = limits{
	source: 128 << 10,
	output: 256 << 20,
	span:   1 << 17,
	nested: 1 << 20,
	time:   5 * time.Second,
}

// Template is a compiled chat template. It may be used from several goroutines.
type Template struct {
	compiled *jinja.Template
	source   int // bytes
	vars     Vars
	limits   limits
}

// New compiles the template that a GGUF file has as tokenizer.chat_template.
func New(templateSource string, vars Vars) (*Template, error) {
	return compile(templateSource, vars, standard)
}

func compile(source string, vars Vars, lim limits) (t *Template, err error) {
	defer recovered(&err, "compile")
	if source == "" {
		return nil, errors.New("chat: the template is empty; the model has none, so give it plain text")
	}
	if len(source) > lim.source {
		return nil, fmt.Errorf("%w: its source has %d bytes; at most %d", ErrLimit, len(source), lim.source)
	}
	guarded, err := guard(source)
	if err != nil {
		return nil, err
	}
	compiled, err := jinja.Compile(guarded)
	if err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	return &Template{compiled: compiled, source: len(source), vars: vars, limits: lim}, nil
}

// Render returns the text of messages, ending with the beginning of the
// assistant's next turn if addGenerationPrompt is set. It contains the spellings
// of special tokens, BOS included where the template writes it: tokenize it with
// special tokens parsed and none added.
//
// The contents are not escaped, as in the reference implementation: a message
// that spells a special token becomes one.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (rendered string, err error) {
	defer recovered(&err, "render")
	if len(messages) == 0 {
		return "", errors.New("chat: no messages")
	}
	list := make([]jinja.Value, len(messages))
	for i, m := range messages {
		if m.Role == "" {
			return "", fmt.Errorf("chat: message %d has no role; want system, user, assistant or tool", i)
		}
		d := jinja.NewDict()
		d.AsDict().Set("role", jinja.NewString(m.Role))
		d.AsDict().Set("content", jinja.NewString(m.Content))
		list[i] = d
	}
	data := map[string]jinja.Value{
		"messages":              jinja.NewList(list),
		"add_generation_prompt": jinja.NewBool(addGenerationPrompt),
		// Defined and none, as transformers passes them.
		"tools":     jinja.None(),
		"documents": jinja.None(),

		"raise_exception": jinja.NewCallable("raise_exception", raise),
	}
	if t.vars.BOS != "" {
		data["bos_token"] = jinja.NewString(t.vars.BOS)
	}
	if t.vars.EOS != "" {
		data["eos_token"] = jinja.NewString(t.vars.EOS)
	}
	newWatch(t.limits, t.source).install(data)
	rendered, err = t.compiled.RenderValues(data)
	switch {
	case errors.Is(err, ErrRefused), errors.Is(err, ErrLimit):
		return "", err
	case err != nil:
		return "", fmt.Errorf("chat: render template: %w", err)
	}
	return rendered, nil
}

// raise is raise_exception(message).
func raise(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if len(args) == 0 {
		return jinja.Undefined(), ErrRefused
	}
	return jinja.Undefined(), fmt.Errorf("%w: %s", ErrRefused, spelling(args[0]))
}

// recovered turns a panic of the interpreter into an error.
func recovered(err *error, doing string) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("chat: %s template: %v", doing, r)
	}
}
