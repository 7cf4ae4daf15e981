package chat

import (
	"encoding/json"
	"strings"
)

// pythonBody reads calls as they are written in Python, with all arguments by name:
//
//	get_weather(city="Paris", days=3)
//
// They stand in a block of Markdown, or in a list. A print around a call is left out.
type pythonBody struct {
	list bool // behind the bracket of a list; else in a block

	text   []byte
	named  bool // the first name has ended
	depth  int  // open brackets
	quote  byte // of the string that is being read
	escape bool // the byte before was a backslash in it
	fence  int  // backquotes of the end of the block
}

func (b *pythonBody) add(c byte) verdict {
	if v := b.look(c); v != more {
		if v == done {
			b.text = append(b.text, c)
		}
		return v
	}
	b.text = append(b.text, c)
	return more
}

// look returns what a byte means.
func (b *pythonBody) look(c byte) verdict {
	switch {
	case !b.named:
		switch {
		case c == '(':
			b.named, b.depth = true, 1
		case !isIdentifier(c) && !isSpace(c) && (b.list || c != '['):
			return wrong
		}
	case b.quote != 0:
		if c == b.quote && !b.escape {
			b.quote = 0
		}
		if c == '\n' {
			return wrong
		}
		b.escape = c == '\\' && !b.escape
	case c == '"' || c == '\'':
		b.quote = c
	case c == '(' || c == '[' || c == '{':
		if b.depth++; b.depth > maxDepth {
			return wrong
		}
	case c == ']' && b.list && b.depth == 0:
		return done
	case c == ')' || c == ']' || c == '}':
		b.depth--
	case c == '`' && !b.list:
		if b.fence++; b.fence == len("```") {
			return done
		}
	}
	return more
}

// end takes a block whose end is missing for one that ends there.
func (b *pythonBody) end() verdict {
	if b.list || !b.named {
		return wrong
	}
	return done
}

func (b *pythonBody) name() string { return "" }

func (b *pythonBody) result([]Tool) ([]ToolCall, turn, error) {
	r := pythonReader{rest: strings.TrimRight(string(b.text), "`")}
	if b.list {
		r.rest = strings.TrimSuffix(r.rest, "]")
	}
	calls := r.calls()
	if r.failed || len(calls) == 0 {
		return nil, turn{}, errNoCall
	}
	return calls, turn{called: true}, nil
}

// isIdentifier reports whether a byte may be in the name of a function.
func isIdentifier(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

// pythonReader reads calls, and writes their arguments as JSON.
type pythonReader struct {
	rest   string
	failed bool
}

func (r *pythonReader) fail() string {
	r.failed = true
	return ""
}

// calls reads calls with commas, semicolons or lines between them, perhaps in a list.
func (r *pythonReader) calls() (calls []ToolCall) {
	r.skip()
	list := r.take("[")
	for r.skip(); !r.failed && r.rest != "" && r.rest[0] != ']'; r.skip() {
		if printed := r.take("print("); printed {
			calls = append(calls, r.call())
			if r.skip(); !r.take(")") {
				r.fail()
			}
		} else {
			calls = append(calls, r.call())
		}
		if r.skip(); !r.take(",") {
			r.take(";")
		}
	}
	if list && !r.take("]") {
		r.fail()
	}
	if r.skip(); r.rest != "" {
		r.fail()
	}
	return calls
}

// call reads name(argument=value, …).
func (r *pythonReader) call() ToolCall {
	c := ToolCall{Name: r.identifier()}
	if r.skip(); c.Name == "" || !r.take("(") {
		r.fail()
	}
	c.Arguments = "{" + r.items(")", func() string {
		name := r.identifier()
		if r.skip(); name == "" || !r.take("=") {
			return r.fail()
		}
		return quoted(name) + ": " + r.value()
	}) + "}"
	return c
}

// items reads items with commas between them up to an end.
func (r *pythonReader) items(end string, item func() string) string {
	var items []string
	for r.skip(); !r.failed && !r.take(end); r.skip() {
		items = append(items, item())
		if r.skip(); !r.take(",") && !strings.HasPrefix(r.rest, end) {
			r.fail()
		}
	}
	return strings.Join(items, ", ")
}

// value reads a literal.
func (r *pythonReader) value() string {
	r.skip()
	switch {
	case r.take("["):
		return "[" + r.items("]", r.value) + "]"
	case r.take("("):
		return "[" + r.items(")", r.value) + "]"
	case r.take("{"):
		return "{" + r.items("}", func() string {
			key := r.value()
			if r.skip(); !strings.HasPrefix(key, `"`) || !r.take(":") {
				return r.fail()
			}
			return key + ": " + r.value()
		}) + "}"
	case strings.HasPrefix(r.rest, `"`), strings.HasPrefix(r.rest, "'"):
		return r.text()
	}
	n := strings.IndexAny(r.rest, ",)]} \n")
	if n <= 0 {
		return r.fail()
	}
	word := r.rest[:n]
	r.rest = r.rest[n:]
	switch word {
	case "True", "true":
		return "true"
	case "False", "false":
		return "false"
	case "None", "null":
		return "null"
	}
	if !json.Valid([]byte(word)) || word[0] == '"' {
		return r.fail()
	}
	return word
}

// text reads a string with the escapes that JSON has too.
func (r *pythonReader) text() string {
	quote := r.rest[0]
	var text []byte
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == quote:
			r.rest = r.rest[i+1:]
			return quoted(string(text))
		case c == '\\' && i+1 < len(r.rest):
			i++
			unescaped, known := pythonEscapes[r.rest[i]]
			if !known {
				return r.fail()
			}
			text = append(text, unescaped)
		default:
			text = append(text, c)
		}
	}
	return r.fail()
}

var pythonEscapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '"': '"', '\'': '\''}

func (r *pythonReader) identifier() string {
	r.skip()
	n := 0
	for n < len(r.rest) && isIdentifier(r.rest[n]) {
		n++
	}
	name := r.rest[:n]
	r.rest = r.rest[n:]
	return name
}

func (r *pythonReader) skip() { r.rest = strings.TrimLeft(r.rest, " \n\r\t") }

func (r *pythonReader) take(text string) bool {
	rest, found := strings.CutPrefix(r.rest, text)
	r.rest = rest
	return found
}
