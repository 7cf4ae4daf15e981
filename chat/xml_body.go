package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

const (
	functionTag     = "<function="
	functionEndTag  = "</function>"
	parameterTag    = "<parameter="
	parameterEndTag = "</parameter>"
)

// xmlBody reads a call in the form of Qwen3-Coder, behind <function=:
//
//	get_weather>
//	<parameter=city>
//	Paris
//	</parameter>
//	</function>
type xmlBody struct {
	state     xmlState
	call      string
	text      []byte // of what is being read: a name, a tag, or a value
	arguments arguments
}

type xmlState int

const (
	xmlName xmlState = iota
	xmlTag           // that of a parameter, or of the end
	xmlKey
	xmlValue
)

func (b *xmlBody) add(c byte) verdict {
	switch b.state {
	case xmlName, xmlKey:
		if c != '>' {
			if !isName(c) || len(b.text) >= maxName {
				return wrong
			}
			b.text = append(b.text, c)
			return more
		}
		name := string(b.take())
		if name == "" {
			return wrong
		}
		if b.state == xmlName {
			b.call, b.state = name, xmlTag
			return more
		}
		if !b.arguments.begin(name) {
			return wrong
		}
		b.state = xmlValue
	case xmlTag:
		if len(b.text) == 0 && isSpace(c) {
			return more
		}
		switch text := string(b.text) + string(rune(c)); {
		case text == parameterTag:
			b.take()
			b.state = xmlKey
		case text == functionEndTag:
			return done
		case strings.HasPrefix(parameterTag, text) || strings.HasPrefix(functionEndTag, text):
			b.text = append(b.text, c)
		default:
			return wrong
		}
	case xmlValue:
		b.text = append(b.text, c)
		if c == '>' && bytes.HasSuffix(b.text, []byte(parameterEndTag)) {
			value := strings.TrimSuffix(string(b.take()), parameterEndTag)
			// The template writes a value on lines of its own.
			b.arguments.end(strings.TrimSuffix(strings.TrimPrefix(value, "\n"), "\n"))
			b.state = xmlTag
		}
	}
	return more
}

// take returns what was read, and reads the next thing.
func (b *xmlBody) take() []byte {
	text := b.text
	b.text = nil
	return text
}

func (b *xmlBody) end() verdict { return wrong }

func (b *xmlBody) name() string { return b.call }

func (b *xmlBody) result(tools []Tool) ([]ToolCall, turn, error) {
	return []ToolCall{{Name: b.call, Arguments: b.arguments.json(tools, b.call)}}, turn{called: true}, nil
}

// maxName bounds the names of functions and of arguments.
const maxName = 256

// isName reports whether names of functions and arguments may have a byte.
func isName(b byte) bool {
	return b > ' ' && b != '<' && b != '>' && b != '{' && b != '}' && b != '"' && b != 0x7f
}

// arguments are those of a call in a format that does not write types.
type arguments struct {
	names  []string
	values []string
}

// begin begins an argument, or reports that it is there twice.
func (a *arguments) begin(name string) bool {
	if slices.Contains(a.names, name) {
		return false
	}
	a.names = append(a.names, name)
	return true
}

// end ends the argument with its value.
func (a *arguments) end(value string) { a.values = append(a.values, value) }

// json returns the arguments as a JSON object. The tools say which may be strings. Where they do not,
// what is JSON is taken as such.
func (a *arguments) json(tools []Tool, call string) string {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, name := range a.names {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(quoted(name) + ": ")
		value := a.values[i]
		if isText(value, argumentTypes(tools, call, name)) {
			value = quoted(value)
		}
		out.WriteString(strings.TrimSpace(value))
	}
	out.WriteByte('}')
	return out.String()
}

// isText reports whether a value that was written without its type is a text, if it may have some types.
func isText(value string, types []string) bool {
	written := typeOf(value)
	switch {
	case written == "":
		return true
	case types == nil:
		return written == "string" // with quotes of its own
	}
	return slices.Contains(types, "string") && (written == "string" || !slices.Contains(types, written))
}

// quoted returns a JSON string.
func quoted(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err) // strings can always be encoded
	}
	return strings.TrimSuffix(out.String(), "\n")
}
