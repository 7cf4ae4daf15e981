package chat

import (
	"fmt"
	"strings"
	"unicode"
)

// Kinds of segments.
const (
	text      = iota // as it is printed: white space is settled, raw blocks are text
	printed          // {{ body }}
	statement        // {% body %}
)

// segment is a part of a template.
type segment struct {
	kind int
	body string
	line int // of the source, where it starts
}

// lex splits a template as Jinja does with trim_blocks and lstrip_blocks on,
// which is how transformers renders chat templates. Interpreters get white space
// wrong in many ways (the one used here looks for it beyond the neighbouring
// tag), so it is settled here, by the rules of Jinja's own lexer:
//
//   - "-" in a tag takes all white space on that side;
//   - a statement or comment takes the blanks before it if nothing else is on
//     its line so far, unless it says "+";
//   - a statement or comment takes the line end after it, unless it says "+";
//   - the line end that ends the source is not part of it.
func lex(source string) ([]segment, error) {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := lexer{rest: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	for l.rest != "" {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	return l.segments, nil
}

type lexer struct {
	rest      string
	line      int
	lineStart bool // the tag before took a line end with it
	segments  []segment
}

// next takes the text up to a tag, and the tag.
func (l *lexer) next() error {
	start := tagStart(l.rest)
	if start < 0 {
		l.emit(text, l.rest)
		l.take(len(l.rest))
		return nil
	}
	kind, mark := l.rest[start+1], markAt(l.rest[start+2:])
	l.emit(text, l.strip(l.rest[:start], kind, mark))
	l.take(start)

	line := l.line
	body := l.rest[2+len(mark):]
	n, err := bodyEnd(body, kind)
	if err != nil {
		return fmt.Errorf("chat: template: line %d: %w", line, err)
	}
	closing := ""
	if n > 0 && (body[n-1] == '-' || body[n-1] == '+') {
		n--
		closing = body[n : n+1]
	}
	length := 2 + len(mark) + n + len(closing) + 2
	body = body[:n]
	word := keyword(body)
	switch {
	case kind == '#':
	case kind == '{':
		l.segments = append(l.segments, segment{printed, body, line})
	case word == "":
		return fmt.Errorf("chat: template: line %d: a statement without a keyword", line)
	case word == "raw":
		return l.raw(length, closing)
	default:
		l.segments = append(l.segments, segment{statement, body, line})
	}
	l.finish(length, closing, kind != '{')
	return nil
}

// raw takes a raw block whose first tag has the given length.
func (l *lexer) raw(length int, closing string) error {
	line := l.line
	l.finish(length, closing, false)
	for at := 0; ; {
		i := strings.Index(l.rest[at:], "{%")
		if i < 0 {
			return fmt.Errorf("chat: template: line %d: raw without endraw", line)
		}
		at += i
		mark := markAt(l.rest[at+2:])
		inside, found := strings.CutPrefix(strings.TrimLeftFunc(l.rest[at+2+len(mark):], unicode.IsSpace), "endraw")
		inside = strings.TrimLeftFunc(inside, unicode.IsSpace)
		closing := markAt(inside)
		if !found || !strings.HasPrefix(inside[len(closing):], "%}") {
			at += 2
			continue
		}
		l.emit(text, l.strip(l.rest[:at], '%', mark))
		l.finish(len(l.rest)-len(inside)+len(closing)+2, closing, true)
		return nil
	}
}

// strip drops from the text before a tag what the tag takes.
func (l *lexer) strip(before string, kind byte, mark string) string {
	switch {
	case mark == "-":
		return strings.TrimRightFunc(before, unicode.IsSpace)
	case mark == "+" || kind == '{':
		return before
	}
	line := strings.LastIndexByte(before, '\n') + 1
	if (line > 0 || l.lineStart) && strings.TrimSpace(before[line:]) == "" {
		return before[:line]
	}
	return before
}

// finish takes a tag, and of what follows it what the tag takes.
func (l *lexer) finish(length int, closing string, trimLine bool) {
	after := l.rest[length:]
	switch {
	case closing == "-":
		length += len(after) - len(strings.TrimLeftFunc(after, unicode.IsSpace))
	case closing == "" && trimLine && strings.HasPrefix(after, "\n"):
		length++
	}
	l.lineStart = l.rest[length-1] == '\n'
	l.take(length)
}

func (l *lexer) emit(kind int, body string) {
	if body != "" {
		l.segments = append(l.segments, segment{kind, body, l.line})
	}
}

func (l *lexer) take(n int) {
	l.line += strings.Count(l.rest[:n], "\n")
	l.rest = l.rest[n:]
}

// tagStart returns the offset of the first "{{", "{%" or "{#", or -1.
func tagStart(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

func markAt(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1]
	}
	return ""
}

// bodyEnd returns the length of the body of a tag: what ends it is not within
// quotes or brackets, except for comments.
func bodyEnd(s string, kind byte) (int, error) {
	if kind == '#' {
		if n := strings.Index(s, "#}"); n >= 0 {
			return n, nil
		}
		return 0, fmt.Errorf("a comment is not closed")
	}
	end := "%}"
	if kind == '{' {
		end = "}}"
	}
	var open []byte // closing brackets that are waited for
	for i := 0; i < len(s); i++ {
		if len(open) == 0 && strings.HasPrefix(s[i:], end) {
			return i, nil
		}
		switch c := s[i]; c {
		case '\'', '"':
			i = quoteEnd(s, i)
		case '(':
			open = append(open, ')')
		case '[':
			open = append(open, ']')
		case '{':
			open = append(open, '}')
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != c {
				return 0, fmt.Errorf("%q closes nothing", c)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return 0, fmt.Errorf("a %q is missing", open[len(open)-1])
	}
	return 0, fmt.Errorf("a tag is not closed with %s", end)
}

// quoteEnd returns the offset of the quote that ends the one at start, or the
// length of s.
func quoteEnd(s string, start int) int {
	for i := start + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[start]:
			return i
		}
	}
	return len(s)
}

// keyword is the first word of a statement.
func keyword(body string) string {
	body = strings.TrimSpace(body)
	if end := strings.IndexFunc(body, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) }); end >= 0 {
		body = body[:end]
	}
	return body
}
