package grammar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// Bounds of a grammar's text. The size of its program is bounded in program.go, the cost of
// matching in matcher.go.
const (
	MaxText    = 4 << 20 // bytes
	MaxRepeat  = 100_000 // the numbers in {m,n}
	maxNesting = 500     // parentheses, and repetitions of one item
	maxName    = 1000    // bytes of a rule's name
)

// expr is a part of the right side of a rule.
type expr any

type (
	choice   []expr   // one of these
	sequence []expr   // all of these
	literal  string   // these bytes
	spelling string   // the token of this spelling, or these bytes where there is none: see Pieces.tag
	ruleRef  string   // the rule of this name
	repeat   struct { // expr, min to max times
		expr     expr
		min, max int // max -1: no limit
	}
	tokenRef struct { // a token by its id or its text, or any other
		id   int // -1: by text
		text string
		not  bool
	}
)

// rule is a line of a grammar.
type rule struct {
	name string
	expr expr
	line int
}

// parse reads a grammar in GBNF, as llama.cpp's grammars/README.md describes it. It is stricter in
// what makes no sense: a rule that is defined twice, a range that runs backwards, an empty set. And it
// has spellings beside: '<tool_call>' is the token of that tag, or the text where the
// vocabulary has none.
func parse(text string) ([]rule, error) {
	p := &parser{text: text}
	switch {
	case len(text) > MaxText:
		p.fail(0, "the text has %d bytes: want at most %d", len(text), MaxText)
	case !utf8.ValidString(text):
		p.fail(0, "the text is not valid UTF-8")
	}
	var rules []rule
	lines := map[string]int{}
	for p.space(true); p.at < len(p.text); p.space(true) {
		r := p.rule()
		if before, ok := lines[r.name]; ok {
			p.fail(p.at, "rule %s is defined twice, in lines %d and %d", r.name, before, r.line)
		}
		lines[r.name] = r.line
		rules = append(rules, r)
	}
	return rules, p.err
}

type parser struct {
	text      string
	at        int
	nesting   int
	counted   int // lines that end before text[countedTo]
	countedTo int
	err       error // the first; what is parsed after it has no meaning
}

// fail keeps the first error, with its line and column. It moves to the end of the text, so that
// parsing stops.
func (p *parser) fail(at int, format string, args ...any) {
	if p.err == nil {
		before := p.text[:at]
		line := 1 + strings.Count(before, "\n")
		column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
		p.err = fmt.Errorf("line %d, column %d: %w", line, column, fmt.Errorf(format, args...))
	}
	p.at = len(p.text)
}

// next reports whether the rest of the text begins with s.
func (p *parser) next(s string) bool { return strings.HasPrefix(p.text[p.at:], s) }

// take reports whether the rest of the text begins with s, and skips s if it does.
func (p *parser) take(s string) bool {
	if !p.next(s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *parser) want(s string) {
	if !p.take(s) {
		p.fail(p.at, "want %q, found %s", s, p.found())
	}
}

// found describes the next character for an error.
func (p *parser) found() string {
	if p.at >= len(p.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return strconv.QuoteRune(r)
}

// space skips blanks and comments, and ends of lines where they do not end a rule.
func (p *parser) space(lines bool) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			p.at++
		case c == '#':
			if end := strings.IndexAny(p.text[p.at:], "\r\n"); end >= 0 {
				p.at += end
			} else {
				p.at = len(p.text)
			}
		default:
			return
		}
	}
}

func (p *parser) rule() rule {
	p.counted += strings.Count(p.text[p.countedTo:p.at], "\n")
	p.countedTo = p.at
	r := rule{line: 1 + p.counted, name: p.name()}
	p.space(false)
	p.want("::=")
	p.space(true)
	r.expr = p.choice(false)
	if p.at < len(p.text) && p.text[p.at] != '\n' && p.text[p.at] != '\r' {
		p.fail(p.at, "want an expression or the end of the line, found %s", p.found())
	}
	return r
}

func (p *parser) name() string {
	start := p.at
	for p.at < len(p.text) && isNameByte(p.text[p.at]) {
		p.at++
	}
	if p.at == start {
		p.fail(p.at, "want the name of a rule, found %s", p.found())
	}
	if p.at-start > maxName {
		p.fail(start, "the name of a rule has %d bytes: want at most %d", p.at-start, maxName)
	}
	return p.text[start:p.at]
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// choice reads alternatives; nested ones may go over several lines.
func (p *parser) choice(nested bool) expr {
	c := choice{p.sequence(nested)}
	for p.take("|") {
		p.space(true)
		c = append(c, p.sequence(nested))
	}
	if len(c) == 1 {
		return c[0]
	}
	return c
}

func (p *parser) sequence(nested bool) expr {
	s := sequence{}
	for {
		item := p.item()
		if item == nil {
			return s
		}
		p.space(nested)
		for n := 1; ; n++ {
			at := p.at
			lo, hi, ok := p.times(nested)
			if !ok {
				break
			}
			if item = (repeat{item, lo, hi}); n > maxNesting {
				p.fail(at, "more than %d repetitions of one item", maxNesting)
			}
		}
		s = append(s, item)
	}
}

// item reads one expression without its repetitions; nil where none begins.
func (p *parser) item() expr {
	switch {
	case p.take(`"`):
		return p.literal()
	case p.take("'"):
		return p.spelling()
	case p.take("["):
		return p.set()
	case p.take("."):
		return charset.All()
	case p.take("("):
		if p.nesting++; p.nesting > maxNesting {
			p.fail(p.at, "more than %d parentheses within each other", maxNesting)
		}
		p.space(true)
		c := p.choice(true)
		p.want(")")
		p.nesting--
		return c
	case p.next("<") || p.next("!"):
		return p.token()
	case p.at < len(p.text) && isNameByte(p.text[p.at]):
		return ruleRef(p.name())
	}
	return nil
}

// times reads how often the item before may come.
func (p *parser) times(nested bool) (lo, hi int, ok bool) {
	defer func() {
		if ok {
			p.space(nested)
		}
	}()
	switch {
	case p.take("*"):
		return 0, -1, true
	case p.take("+"):
		return 1, -1, true
	case p.take("?"):
		return 0, 1, true
	case !p.take("{"):
		return 0, 0, false
	}
	start := p.at
	p.space(nested)
	lo = p.number()
	hi = lo
	p.space(nested)
	if p.take(",") {
		p.space(nested)
		if hi = -1; !p.next("}") {
			hi = p.number()
			p.space(nested)
		}
	}
	p.want("}")
	if hi >= 0 && hi < lo {
		p.fail(start, "at least %d times, and at most %d", lo, hi)
	}
	return lo, hi, true
}

func (p *parser) number() int {
	start := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	if start == p.at {
		p.fail(p.at, "want a number, found %s", p.found())
	}
	n, err := strconv.Atoi(p.text[start:p.at])
	if err != nil || n > MaxRepeat {
		p.fail(start, "%.20s times: want at most %d", p.text[start:p.at], MaxRepeat)
	}
	return n
}

// literal reads on to the closing quote.
func (p *parser) literal() expr {
	start := p.at - 1
	var b strings.Builder
	for !p.take(`"`) {
		if p.at >= len(p.text) {
			p.fail(start, `a text that begins with " does not end`)
			return nil
		}
		at := p.at
		r := p.char()
		if !utf8.ValidRune(r) {
			p.fail(at, "%s is no character", p.text[at:p.at])
		}
		b.WriteRune(r)
	}
	return literal(b.String())
}

// spelling reads on to the closing apostrophe.
func (p *parser) spelling() expr {
	start := p.at - 1
	end := strings.IndexAny(p.text[p.at:], "'\n")
	if end <= 0 || p.text[p.at+end] != '\'' {
		p.fail(start, "the spelling of a token that begins with ' is empty or does not end with '")
		return nil
	}
	text := p.text[p.at : p.at+end]
	p.at += end + 1
	return spelling(text)
}

// set reads on to the closing bracket.
func (p *parser) set() expr {
	start := p.at - 1
	not := p.take("^")
	var set charset.Set
	for !p.take("]") {
		if p.at >= len(p.text) {
			p.fail(start, "a set that begins with [ does not end")
			return nil
		}
		r := charset.Range{}
		r.Lo = p.char()
		r.Hi = r.Lo
		if p.next("-") && !p.next("-]") {
			p.at++
			if r.Hi = p.char(); r.Hi < r.Lo {
				p.fail(start, "the range from %q to %q runs backwards", r.Lo, r.Hi)
			}
		}
		set = append(set, r)
	}
	if set = set.Normalize(); not {
		set = set.Complement()
	}
	if len(set) == 0 {
		p.fail(start, "the set contains no character")
	}
	return set
}

// char reads one character of a text or a set.
func (p *parser) char() rune {
	start := p.at
	r, n := utf8.DecodeRuneInString(p.text[p.at:])
	p.at += n
	if r != '\\' {
		return r
	}
	if p.at >= len(p.text) {
		p.fail(start, `\ at the end`)
		return 0
	}
	c := p.text[p.at]
	p.at++
	switch c {
	case 'x':
		return p.hex(start, 2)
	case 'u':
		return p.hex(start, 4)
	case 'U':
		return p.hex(start, 8)
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'n':
		return '\n'
	case '\\', '"', '[', ']', '-':
		return rune(c)
	}
	p.fail(start, `\ is followed by %q: want one of \ " [ ] - n r t x u U`, c)
	return 0
}

// hex reads a code point of so many digits.
func (p *parser) hex(start, digits int) rune {
	end := p.at
	for end < len(p.text) && end < p.at+digits && isHex(p.text[end]) {
		end++
	}
	n, err := strconv.ParseUint(p.text[p.at:end], 16, 32)
	if end-p.at != digits || err != nil {
		p.fail(start, "want %d hexadecimal digits after %s", digits, p.text[start:p.at])
		return 0
	}
	if n > utf8.MaxRune {
		p.fail(start, "%s is no code point", p.text[start:end])
		return 0
	}
	p.at = end
	return rune(n)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// token reads <[id]>, <text>, and the same behind an exclamation mark.
func (p *parser) token() expr {
	start := p.at
	t := tokenRef{id: -1, not: p.take("!")}
	open := p.at
	p.want("<")
	if p.take("[") {
		from := p.at
		for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
			p.at++
		}
		id, err := strconv.ParseInt(p.text[from:p.at], 10, 32)
		if err != nil {
			p.fail(from, "want a token id")
			return nil
		}
		t.id = int(id)
		p.want("]>")
		return t
	}
	end := strings.IndexAny(p.text[p.at:], ">\n")
	if end < 0 || p.text[p.at+end] != '>' {
		p.fail(start, "a token that begins with < does not end with >")
		return nil
	}
	p.at += end + 1
	t.text = p.text[open:p.at]
	return t
}
