package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

var errNoCall = errors.New("chat: not a tool call")

// jsonBody reads a call, or a list of calls, that is written as JSON:
//
//	{"name": …, "arguments": {…}}
//
// The arguments may be called parameters. White space in front is skipped.
type jsonBody struct {
	scan jsonScanner
	text []byte
	call string // the name of the only call, once it is known
}

// newJSONBody returns a body that has read some text.
func newJSONBody(text string) *jsonBody {
	b := &jsonBody{}
	for i := range len(text) {
		b.add(text[i])
	}
	return b
}

func (b *jsonBody) add(c byte) verdict {
	if len(b.text) == 0 && !isSpace(c) && c != '{' && c != '[' {
		return wrong
	}
	v := b.scan.add(c)
	if v == wrong {
		return wrong
	}
	b.text = append(b.text, c)
	if c == '"' && b.scan.state != inString && len(b.scan.stack) == 1 && b.scan.stack[0] == '{' {
		last := string(b.text[b.scan.begin:])
		switch {
		case b.scan.state == wantColon && b.scan.members == 1 && !callKeys[unquoted(last)]:
			return b.refuse()
		case b.scan.state == wantColon:
			b.scan.key = unquoted(last)
		case b.scan.key == "name":
			b.call = unquoted(last)
		}
	}
	return v
}

// refuse gives the last byte back.
func (b *jsonBody) refuse() verdict {
	b.text = b.text[:len(b.text)-1]
	return wrong
}

func (b *jsonBody) end() verdict { return wrong }

func (b *jsonBody) name() string { return b.call }

func (b *jsonBody) result([]Tool) ([]ToolCall, turn, error) {
	calls, err := callsOf(b.text)
	return calls, turn{called: true}, err
}

// callKeys are the keys of a call.
var callKeys = map[string]bool{"name": true, "arguments": true, "parameters": true, "id": true, "type": true, "function": true}

// callsOf returns the calls in a JSON object or list.
func callsOf(text []byte) (calls []ToolCall, err error) {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
		for _, item := range list {
			c, err := callOf(item)
			if err != nil {
				return nil, err
			}
			calls = append(calls, c)
		}
		if len(calls) == 0 {
			return nil, errNoCall
		}
		return calls, nil
	}
	c, err := callOf(text)
	return []ToolCall{c}, err
}

// callOf returns the call that a JSON object is. It has "" for arguments that are not there. An object
// with other keys is none, because what they say would be lost.
func callOf(text []byte) (c ToolCall, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return c, err
	}
	for key := range object {
		if !callKeys[key] {
			return c, errNoCall
		}
	}
	if nested := object["function"]; len(nested) > 0 && nested[0] == '{' {
		delete(object, "function")
		if object["name"] != nil || object["arguments"] != nil || object["parameters"] != nil {
			return c, errNoCall
		}
		if c, err = callOf(nested); err != nil {
			return c, err
		}
		return c, optional(object["id"], &c.ID)
	}
	name := object["name"]
	if name == nil {
		name = object["function"]
	} else if object["function"] != nil {
		return c, errNoCall
	}
	if err := errors.Join(json.Unmarshal(orNull(name), &c.Name), optional(object["id"], &c.ID)); err != nil || c.Name == "" {
		return c, errNoCall
	}
	arguments := object["arguments"]
	if arguments == nil {
		arguments = object["parameters"]
	} else if object["parameters"] != nil {
		return c, errNoCall
	}
	if arguments != nil {
		c.Arguments, err = argumentsOf(arguments)
	}
	return c, err
}

// bareCall reads calls that no tag begins, so that they may be an answer in JSON as well. They are
// of tools that there are, or, if none are known, have arguments.
type bareCall struct{ body }

func (b *bareCall) name() string { return "" } // it is not certain before the end

func (b *bareCall) result(tools []Tool) ([]ToolCall, turn, error) {
	calls, next, err := b.body.result(tools)
	for _, c := range calls {
		known := slices.ContainsFunc(tools, func(t Tool) bool { return t.Name == c.Name })
		if len(tools) > 0 && !known || len(tools) == 0 && c.Arguments == "" {
			return nil, turn{}, errNoCall
		}
	}
	return calls, next, err
}

// argumentsOf returns the text of a JSON object, or of the object that a string holds.
func argumentsOf(arguments json.RawMessage) (string, error) {
	text := strings.TrimSpace(string(arguments))
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(arguments, &text); err != nil {
			return "", err
		}
		text = strings.TrimSpace(text)
	}
	switch {
	case text == "", text == "null":
		return "{}", nil
	case !strings.HasPrefix(text, "{") || !json.Valid([]byte(text)):
		return "", errNoCall
	}
	return text, nil
}

// optional reads a string that need not be there.
func optional(text json.RawMessage, into *string) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

func orNull(text json.RawMessage) json.RawMessage {
	if text == nil {
		return json.RawMessage("null")
	}
	return text
}

// unquoted returns the text of a JSON string.
func unquoted(text string) (s string) {
	if json.Unmarshal([]byte(text), &s) != nil {
		return ""
	}
	return s
}
