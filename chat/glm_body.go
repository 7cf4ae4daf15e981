package chat

import (
	"bytes"
	"strings"
)

// glmBody reads a call in the form of GLM, behind <tool_call>:
//
//	get_weather
//	<arg_key>city</arg_key>
//	<arg_value>Paris</arg_value>
//	</tool_call>
type glmBody struct {
	call      string
	text      []byte // of what is being read
	inside    string // the tag that ends the key or value that is being read; "": between them
	keyRead   bool   // a value is wanted
	named     bool
	arguments arguments
}

func (b *glmBody) add(c byte) verdict {
	switch {
	case !b.named && c != '<' && c != '\n':
		if !isName(c) || len(b.text) >= maxName {
			return wrong
		}
		b.text = append(b.text, c)
		return more
	case !b.named:
		b.call, b.named, b.text = string(b.text), true, nil
	}
	if b.inside == "" {
		return b.tag(c)
	}
	b.text = append(b.text, c)
	if c != '>' || !bytes.HasSuffix(b.text, []byte(b.inside)) {
		return more
	}
	text := strings.TrimSuffix(string(b.text), b.inside)
	b.text, b.inside = nil, ""
	if b.keyRead {
		b.arguments.end(text)
	} else if !b.arguments.begin(text) {
		return wrong
	}
	b.keyRead = !b.keyRead
	return more
}

// tag reads the tags between keys and values.
func (b *glmBody) tag(c byte) verdict {
	if len(b.text) == 0 && isSpace(c) {
		return more
	}
	text := string(b.text) + string(rune(c))
	opens, ends := "<arg_key>", "</tool_call>"
	if b.keyRead {
		opens, ends = "<arg_value>", ""
	}
	switch {
	case text == opens:
		b.text, b.inside = nil, "</"+opens[1:]
	case text == ends:
		return done
	case strings.HasPrefix(opens, text) || strings.HasPrefix(ends, text):
		b.text = append(b.text, c)
	default:
		return wrong
	}
	return more
}

func (b *glmBody) end() verdict { return wrong }

func (b *glmBody) name() string { return b.call }

func (b *glmBody) result(tools []Tool) ([]ToolCall, turn, error) {
	return []ToolCall{{Name: b.call, Arguments: b.arguments.json(tools, b.call)}}, turn{called: true}, nil
}
