package chat

import (
	"encoding/json"
	"strings"
)

// gemma4Syntax is that of Gemma 4. Keys are bare, and strings stand between <|"|>.
//
//	<|channel>thought
//	…<channel|><|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|>
type gemma4Syntax struct{}

func (gemma4Syntax) start(prompt string) turn {
	if strings.HasSuffix(strings.TrimSpace(prompt), "<|channel>thought") {
		return turn{kind: Reasoning}
	}
	return startThinking(prompt)
}

func (gemma4Syntax) tags(p *Parser) []string {
	tags := thinkTags(p)
	if p.kind == Reasoning {
		return append(tags, "<channel|>")
	}
	tags = append(tags, "<|tool_call>", "<|channel>")
	if p.called {
		tags = append(tags, "<tool_call|>", "<|tool_response>")
	}
	return tags
}

func (gemma4Syntax) open(tag string) turn {
	switch tag {
	case "<|tool_call>":
		return turn{body: &gemma4Body{}}
	case "<|channel>":
		return turn{body: &gemma4Channel{}}
	case "<channel|>":
		return turn{}
	case "<tool_call|>", "<|tool_response>":
		return turn{called: true}
	}
	return openThink(tag)
}

// gemma4Channel reads the name of a channel, which ends with its line.
type gemma4Channel struct{ channel []byte }

func (b *gemma4Channel) add(c byte) verdict {
	switch {
	case c == '\n' && len(b.channel) > 0:
		return done
	case c < 'a' || c > 'z' || len(b.channel) >= maxName:
		return wrong
	}
	b.channel = append(b.channel, c)
	return more
}

func (b *gemma4Channel) end() verdict { return wrong }

func (b *gemma4Channel) name() string { return "" }

func (b *gemma4Channel) result([]Tool) ([]ToolCall, turn, error) {
	if string(b.channel) == "thought" {
		return nil, turn{kind: Reasoning, separate: true}, nil
	}
	return nil, turn{separate: true}, nil
}

// gemma4Body reads a call, from call: to the last brace.
type gemma4Body struct {
	text   []byte
	call   string
	depth  int
	quote  string // the end of the string that is being read; "": none
	opened int    // bytes of <|"|> that have come
	escape bool   // the byte before was a backslash in a JSON string
}

// gemma4Quote stands on both sides of a string.
const gemma4Quote = `<|"|>`

func (b *gemma4Body) add(c byte) verdict {
	const prefix = "call:"
	v := more
	switch n := len(b.text); {
	case n < len(prefix):
		if c != prefix[n] {
			return wrong
		}
	case b.call == "" && c == '{':
		if b.call = string(b.text[len(prefix):]); b.call == "" {
			return wrong
		}
		b.depth = 1
	case b.call == "":
		if !isName(c) || n >= maxName {
			return wrong
		}
	case b.quote != "":
		if !b.escape && strings.HasSuffix(string(b.text[max(0, n+1-len(b.quote)):])+string([]byte{c}), b.quote) {
			b.quote = ""
		}
		b.escape = b.quote == `"` && c == '\\' && !b.escape
	default:
		v = b.between(c)
	}
	if v != wrong {
		b.text = append(b.text, c)
	}
	return v
}

// between takes a byte outside of strings.
func (b *gemma4Body) between(c byte) verdict {
	switch {
	case b.opened > 0 || c == gemma4Quote[0]:
		if c != gemma4Quote[b.opened] {
			return wrong
		}
		if b.opened++; b.opened == len(gemma4Quote) {
			b.quote, b.opened = gemma4Quote, 0
		}
	case c == '"':
		b.quote = `"`
	case c == '{' || c == '[':
		if b.depth++; b.depth > maxDepth {
			return wrong
		}
	case c == '}' || c == ']':
		if b.depth--; b.depth == 0 {
			return done
		}
	case c == '>':
		return wrong
	}
	return more
}

func (b *gemma4Body) end() verdict { return wrong }

func (b *gemma4Body) name() string { return b.call }

func (b *gemma4Body) result([]Tool) ([]ToolCall, turn, error) {
	r := gemma4Reader{rest: strings.TrimPrefix(string(b.text), "call:"+b.call)}
	arguments := r.value()
	if r.failed || r.rest != "" || !json.Valid([]byte(arguments)) {
		return nil, turn{}, errNoCall
	}
	return []ToolCall{{Name: b.call, Arguments: arguments}}, turn{called: true}, nil
}

// gemma4Reader turns Gemma's notation into JSON. The depth was checked before.
type gemma4Reader struct {
	rest   string
	failed bool
}

// value reads an object, a list, a string, a number or a word.
func (r *gemma4Reader) value() string {
	r.skip()
	switch {
	case r.take("{"):
		return "{" + r.list("}", func() string {
			key := r.key()
			if r.skip(); !r.take(":") {
				r.failed = true
			}
			return key + ": " + r.value()
		}) + "}"
	case r.take("["):
		return "[" + r.list("]", r.value) + "]"
	case strings.HasPrefix(r.rest, gemma4Quote), strings.HasPrefix(r.rest, `"`):
		return r.text()
	}
	n := strings.IndexAny(r.rest, ",}] \n")
	if n <= 0 {
		r.failed = true
		return ""
	}
	word := r.rest[:n]
	r.rest = r.rest[n:]
	if !json.Valid([]byte(word)) {
		r.failed = true
	}
	return word
}

// list reads items with commas between them up to an end.
func (r *gemma4Reader) list(end string, item func() string) string {
	var items []string
	if r.skip(); r.take(end) {
		return ""
	}
	for !r.failed {
		items = append(items, item())
		r.skip()
		if r.take(end) {
			break
		}
		if !r.take(",") {
			r.failed = true
		}
	}
	return strings.Join(items, ", ")
}

// key reads the key of an object, which may be bare.
func (r *gemma4Reader) key() string {
	r.skip()
	if strings.HasPrefix(r.rest, gemma4Quote) || strings.HasPrefix(r.rest, `"`) {
		return r.text()
	}
	n := strings.IndexAny(r.rest, ":,{}[] \n")
	if n <= 0 {
		r.failed = true
		return ""
	}
	key := r.rest[:n]
	r.rest = r.rest[n:]
	return quoted(key)
}

// text reads a string in either kind of quotes.
func (r *gemma4Reader) text() string {
	if r.take(gemma4Quote) {
		text, rest, found := strings.Cut(r.rest, gemma4Quote)
		r.rest, r.failed = rest, r.failed || !found
		return quoted(text)
	}
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case '"':
			text := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			return text
		}
	}
	r.failed = true
	return ""
}

func (r *gemma4Reader) skip() { r.rest = strings.TrimLeft(r.rest, " \n\r\t") }

func (r *gemma4Reader) take(text string) bool {
	rest, found := strings.CutPrefix(r.rest, text)
	r.rest = rest
	return found
}
