package jinja

import (
	"strings"
	"unicode"
)

// segmentKind says what a segment of a template is.
type segmentKind int

const (
	segmentText      segmentKind = iota // as it is printed: white space is settled, and raw blocks are text
	segmentPrint                        // {{ body }}
	segmentStatement                    // {% body %}
)

// segment is a part of a template.
type segment struct {
	kind segmentKind
	body string
	line int // of the source, where the body starts
}

// lex splits a template into segments, and settles its white space:
//
//   - "-" in a tag takes all white space on that side;
//   - a statement or a comment takes the white space before it if nothing else is on its line so
//     far, unless its tag begins with "+";
//   - a statement or a comment takes the line end after it, unless its tag ends with "+";
//   - the line end that ends the source is not part of it.
func lex(source string) []segment {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := lexer{rest: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	for l.rest != "" {
		l.next()
	}
	return l.segments
}

type lexer struct {
	rest      string
	line      int
	lineStart bool // what was taken last ended a line
	segments  []segment
}

// next takes the text up to a tag, and the tag.
func (l *lexer) next() {
	start := tagStart(l.rest)
	if start < 0 {
		l.emit(segmentText, l.rest)
		l.take(len(l.rest))
		return
	}
	kind, mark := l.rest[start+1], markAt(l.rest[start+2:])
	length, raw := rawStart(l.rest[start:])
	l.emit(segmentText, l.strip(l.rest[:start], kind, mark))
	l.take(start)
	if raw {
		l.raw(length)
		return
	}

	at := 2 + len(mark)
	if kind == '#' && at == len(l.rest) { // Jinja overlooks a comment that only begins, at the very end
		l.take(at)
		return
	}
	n := l.bodyEnd(l.rest[at:], kind)
	body, closing := l.rest[at:at+n], ""
	if n > 0 && (body[n-1] == '-' || body[n-1] == '+' && kind != '{') {
		body, closing = body[:n-1], body[n-1:]
	}
	switch kind {
	case '{':
		l.segments = append(l.segments, segment{segmentPrint, body, l.line})
	case '%':
		l.segments = append(l.segments, segment{segmentStatement, body, l.line})
	}
	l.finish(at+n+2, closing, kind != '{')
}

// rawStart returns the length of the tag that begins a raw block, and whether s begins with one.
func rawStart(s string) (length int, ok bool) {
	if s[1] != '%' {
		return 0, false
	}
	inside, found := strings.CutPrefix(strings.TrimLeftFunc(s[2+len(markAt(s[2:])):], isSpace), "raw")
	inside = strings.TrimLeftFunc(inside, isSpace)
	inside = strings.TrimPrefix(inside, "-")
	if !found || !strings.HasPrefix(inside, "%}") {
		return 0, false
	}
	return len(s) - len(inside) + 2, true
}

// raw takes a raw block whose first tag has the given length.
func (l *lexer) raw(length int) {
	line := l.line
	l.finish(length, markAt(l.rest[length-3:]), false)
	if l.rest == "" { // Jinja overlooks it
		return
	}
	for at := 0; ; at += 2 {
		i := strings.Index(l.rest[at:], "{%")
		if i < 0 {
			panic(&Error{Line: line, Kind: "TemplateSyntaxError", Text: "raw without endraw"})
		}
		at += i
		mark := markAt(l.rest[at+2:])
		inside, found := strings.CutPrefix(strings.TrimLeftFunc(l.rest[at+2+len(mark):], isSpace), "endraw")
		inside = strings.TrimLeftFunc(inside, isSpace)
		closing := markAt(inside)
		if !found || !strings.HasPrefix(inside[len(closing):], "%}") {
			continue
		}
		l.emit(segmentText, l.strip(l.rest[:at], '%', mark))
		l.finish(len(l.rest)-len(inside)+len(closing)+2, closing, true)
		return
	}
}

// strip drops from the text before a tag what the tag takes.
func (l *lexer) strip(before string, kind byte, mark string) string {
	switch {
	case mark == "-":
		return strings.TrimRightFunc(before, isSpace)
	case mark == "+" || kind == '{':
		return before
	}
	line := strings.LastIndexByte(before, '\n') + 1
	if (line > 0 || l.lineStart) && strings.TrimLeftFunc(before[line:], isSpace) == "" {
		return before[:line]
	}
	return before
}

// finish takes a tag, and of what follows it what the tag takes.
func (l *lexer) finish(length int, closing string, trimLine bool) {
	after := l.rest[length:]
	switch {
	case closing == "-":
		length += len(after) - len(strings.TrimLeftFunc(after, isSpace))
	case closing == "" && trimLine && strings.HasPrefix(after, "\n"):
		length++
	}
	l.lineStart = l.rest[length-1] == '\n'
	l.take(length)
}

func (l *lexer) emit(kind segmentKind, body string) {
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

// bodyEnd returns the length of the body of a tag. What closes a tag is not within quotes or
// brackets, except in comments.
func (l *lexer) bodyEnd(s string, kind byte) int {
	syntax := func(format string, args ...any) {
		defer func() {
			e := recover().(*Error)
			e.Line = l.line
			panic(e)
		}()
		fail("TemplateSyntaxError", format, args...)
	}
	if kind == '#' {
		if n := strings.Index(s, "#}"); n >= 0 {
			return n
		}
		syntax("a comment is not closed")
	}
	end := "%}"
	if kind == '{' {
		end = "}}"
	}
	var open []byte // the closing brackets that are missing so far
	for i := 0; i < len(s); i++ {
		if len(open) == 0 && strings.HasPrefix(s[i:], end) {
			return i
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
				syntax("%q closes nothing", c)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		syntax("a %q is missing", open[len(open)-1])
	}
	syntax("a tag is not closed with %s", end)
	return 0
}

// quoteEnd returns the offset of the quote that closes the one at start, or the length of s.
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

// isSpace reports whether Python calls r white space.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f'
}
