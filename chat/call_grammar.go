package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/jsonschema"
)

// CallGrammarOptions says which calls an answer has. The zero value is for one call of any of the tools,
// at once.
type CallGrammarOptions struct {
	// Name is that of the only tool that may be called; "": any of them may.
	Name string
	// Parallel lets several calls follow each other. In Harmony an answer ends with its call all the same.
	Parallel bool
	// Reasoning lets the model think before it calls. Where the prompt has opened the reasoning, it goes
	// on in any case.
	Reasoning bool
	// Prompt is the rendered prompt that the answer continues.
	Prompt string
}

// CallGrammar returns a grammar in GBNF, for package grammar, of answers that call tools: as the format
// writes them, and with arguments that are valid by the tool's schema. What a grammar cannot express of a
// schema is an error that names it (package jsonschema says what it can). A parser with the same tools
// reads every such answer back.
//
// Tags of the format are the control tokens that are spelt so, or texts where a vocabulary has none.
// Arguments come in the order of the schema, and those that it does not describe are left out in the
// formats that write arguments one by one.
func (f Format) CallGrammar(tools []Tool, o CallGrammarOptions) (gbnf string, err error) {
	var chosen []Tool
	for _, t := range tools {
		if o.Name == "" || t.Name == o.Name {
			chosen = append(chosen, t)
		}
	}
	switch {
	case len(chosen) == 0 && o.Name != "":
		return "", fmt.Errorf("chat: there is no tool %s to call", o.Name)
	case len(chosen) == 0:
		return "", errors.New("chat: there are no tools to call")
	}
	w := callWriter{rules: jsonschema.NewRules()}
	var answers []string
	for _, form := range f.callForms() {
		answer, err := w.calls(form, chosen, o.Parallel)
		if err != nil {
			return "", err
		}
		answers = append(answers, answer)
	}
	answer := w.rules.Rule("answer", strings.Join(answers, " | "))
	return w.rules.Grammar(w.thoughts(f.thoughts(o.Prompt), o.Prompt, o.Reasoning) + answer)
}

// JSONGrammar returns a grammar in GBNF of answers whose content is JSON that is valid by a schema. With
// reasoning, or where the prompt, which is rendered, has opened the reasoning, the model may think before.
func (f Format) JSONGrammar(schema []byte, prompt string, reasoning bool) (gbnf string, err error) {
	w := callWriter{rules: jsonschema.NewRules()}
	value, err := w.rules.Value(schema)
	if err != nil {
		return "", err
	}
	if f == Harmony {
		if prompt := strings.TrimSpace(prompt); !strings.HasSuffix(prompt, "<|start|>assistant") && !strings.HasSuffix(prompt, f.thoughts(prompt).opened) {
			return w.rules.Grammar(value) // the content has begun
		}
		value = `'<|channel|>' "final" '<|message|>' ` + value
	}
	return w.rules.Grammar(w.thoughts(f.thoughts(prompt), prompt, reasoning) + value)
}

// callWriter writes calls as expressions of a grammar.
type callWriter struct{ rules *jsonschema.Rules }

// calls returns an expression for one call of any of the tools, or several.
func (w callWriter) calls(form callForm, tools []Tool, parallel bool) (string, error) {
	var calls []string
	var errs []error
	for _, t := range tools {
		call, err := w.call(form, t)
		if err != nil {
			errs = append(errs, fmt.Errorf("chat: the tool %s: %w", t.Name, err))
		}
		calls = append(calls, call)
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	call := w.rules.Rule("call", strings.Join(calls, " | "))
	answer := call
	if parallel && form.separator != "" {
		answer += " (" + form.separator + " " + call + ")*"
	}
	return strings.TrimSpace(form.first + " " + answer + " " + form.last), nil
}

// call returns an expression for a call of one tool.
func (w callWriter) call(form callForm, t Tool) (string, error) {
	name := t.Name
	if !form.bare {
		text := quoted(name)
		name = text[1 : len(text)-1]
	} else if !isBareName(name) || strings.Contains(name, "[") {
		return "", fmt.Errorf("the format writes names as they are: want letters, digits, _ and -, at most %d", maxBareName)
	}
	var err error
	write := func(name, value string) string {
		if !isBareName(name) {
			err = errors.Join(err, fmt.Errorf("the format writes the names of arguments as they are, and cannot write %.50q", name))
		}
		return form.member(name, value)
	}
	var arguments string
	var failed error
	if form.member != nil {
		arguments, failed = w.rules.Members(t.argumentsSchema(), form.spelling, write)
	} else {
		arguments, failed = w.rules.Object(t.argumentsSchema(), form.spelling)
	}
	parts := []string{form.begin, grammar.Literal(name), form.between, arguments, form.end}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.Join(parts, " "), errors.Join(err, failed)
}

// maxBareName bounds names that are written as they are, with what stands before them.
const maxBareName = maxName - 20

// isBareName reports whether a name can stand in a text as it is.
func isBareName(name string) bool {
	for i := range len(name) {
		if !isName(name[i]) {
			return false
		}
	}
	return name != "" && len(name) <= maxBareName
}

// noArguments is a schema of objects without members.
const noArguments = `{"type": "object", "additionalProperties": false}`

// argumentsSchema returns the schema of the arguments. One that describes no members has none.
func (t *Tool) argumentsSchema() []byte {
	var keywords map[string]json.RawMessage
	if t.parameters == nil || json.Unmarshal(t.parameters, &keywords) != nil {
		if t.parameters == nil {
			return []byte(noArguments)
		}
		return t.parameters // an error says what is wrong with it
	}
	var properties map[string]json.RawMessage
	if json.Unmarshal(keywords["properties"], &properties) == nil && properties != nil && len(properties) == 0 {
		for key := range keywords {
			if key != "type" && key != "properties" && key != "required" && !strings.HasPrefix(key, "$") && key != "title" && key != "description" {
				return t.parameters
			}
		}
		if required := strings.TrimSpace(string(keywords["required"])); required == "" || required == "[]" {
			return []byte(noArguments)
		}
	}
	return t.parameters
}

// thoughts returns an expression for the reasoning before the answer.
func (w callWriter) thoughts(t callThoughts, prompt string, reasoning bool) string {
	prompt = strings.TrimSpace(prompt)
	text := func() string { return w.rules.TextWithout(t.stops...) + " " + t.end }
	switch {
	case strings.HasSuffix(prompt, t.opened):
		return text() + " "
	case !reasoning || t.closed != "" && strings.HasSuffix(prompt, t.closed):
		return ""
	}
	return "(" + t.begin + " " + text() + ")? "
}
