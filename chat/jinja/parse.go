package jinja

import (
	"slices"
	"strings"
)

// Template is a parsed template. It may be rendered from several goroutines at once.
type Template struct {
	body []node
}

// maxSource bounds the bytes of a template. The largest that are known have 20 KiB.
const maxSource = 128 << 10

// Parse parses a template of at most 128 KiB. An error is an [*Error].
func Parse(source string) (t *Template, err error) {
	p := &parser{}
	defer recovered(&err, func() int { return p.line })
	if len(source) > maxSource {
		exceeded("its source has %d bytes; at most %d are allowed", len(source), maxSource)
	}
	p.segments = lex(source)
	body := p.body(frame{})
	return &Template{body: body}, nil
}

// parser turns segments into statements.
type parser struct {
	segments []segment
	at       int
	line     int
	blocks   []string // their names
	tag      *stream  // the statement that ended the last body, after its word
}

// frame is what a statement must know of those around it.
type frame struct {
	soft bool // see stream
	loop bool // break and continue are allowed
}

func (f frame) inner() frame { return frame{loop: f.loop} }

func (f frame) branch() frame { return frame{soft: true, loop: f.loop} }

// bodyUntil parses statements up to one of the words, which it returns; without words, up to
// the end.
func (p *parser) bodyUntil(f frame, words ...string) ([]node, string) {
	var body []node
	begun := p.line
	for p.at < len(p.segments) {
		seg := p.segments[p.at]
		p.at++
		p.line = seg.line
		if seg.kind == segmentText {
			body = append(body, &textNode{seg.body})
			continue
		}
		s := &stream{tokens: tokenize(seg.body, seg.line), soft: f.soft}
		if seg.kind == segmentPrint {
			if s.peek().kind == tokenEnd {
				syntaxAt(seg.line, "nothing to print in {{ }}")
			}
			body = append(body, &printNode{[]expr{s.tuple(s.expression, false)}, seg.line})
			s.end()
			continue
		}
		if s.peek().kind != tokenName {
			syntaxAt(seg.line, "a statement without a keyword")
		}
		word := s.next().text
		if slices.Contains(words, word) {
			p.tag = s
			return body, word
		}
		body = append(body, p.statement(f, s, word, seg.line))
	}
	if len(words) > 0 {
		syntaxAt(begun, "unclosed %s: %s is missing", strings.TrimPrefix(words[len(words)-1], "end"), words[len(words)-1])
	}
	return body, ""
}

// body is bodyUntil where nothing may follow the word in its tag.
func (p *parser) body(f frame, words ...string) []node {
	body, _ := p.bodyUntil(f, words...)
	if p.tag != nil {
		p.tag.end()
	}
	return body
}

// block ends a tag and parses what follows up to the words.
func (p *parser) block(f frame, s *stream, words ...string) []node {
	s.skip(":")
	s.end()
	return p.body(f, words...)
}

func (p *parser) statement(f frame, s *stream, word string, line int) node {
	switch word {
	case "if":
		return p.parseIf(f, s, line)
	case "for":
		return p.parseFor(f, s, line)
	case "set":
		target := s.target(true)
		if s.skip("=") {
			value := s.tuple(s.expression, false)
			s.end()
			return &setNode{target, value, line}
		}
		var filter expr
		for s.skip("|") {
			filter = s.filter(filter)
		}
		return &setBlockNode{target, filter, p.block(f.inner(), s, "endset"), line}
	case "with":
		w := &withNode{line: line}
		for s.peek().kind != tokenEnd && !s.peek().is(":") {
			if len(w.targets) > 0 {
				s.expect(",")
			}
			w.targets = append(w.targets, s.target(false))
			s.expect("=")
			w.values = append(w.values, s.expression())
		}
		w.body = p.block(f.inner(), s, "endwith")
		return w
	case "macro":
		m := &macroNode{name: s.name()}
		m.macroBody = p.macroBody(s, line, "endmacro", nil)
		return m
	case "call":
		c := &callNode{}
		c.macroBody = p.macroBody(s, line, "endcall", func() {
			call, ok := s.expression().(*callExpr)
			if !ok {
				syntaxAt(line, "call without a call of a macro")
			}
			c.call = call
		})
		return c
	case "generation":
		return &scopeNode{body: p.block(frame{}, s, "endgeneration"), line: line}
	case "filter":
		filter := s.filter(nil)
		for s.skip("|") {
			filter = s.filter(filter)
		}
		return &filterNode{filter, p.block(f.inner(), s, "endfilter"), line}
	case "block":
		return p.parseBlock(s, line)
	case "autoescape":
		if c, ok := s.expression().(*constExpr); !ok || c.value != false {
			unsupported("the tag autoescape, but with false,")
		}
		return &scopeNode{body: p.block(f.inner(), s, "endautoescape"), line: line}
	case "break", "continue":
		s.end()
		if !f.loop {
			syntaxAt(line, "%s outside a loop", word)
		}
		if word == "break" {
			return &breakNode{}
		}
		return &continueNode{}
	case "print":
		n := &printNode{line: line}
		for s.peek().kind != tokenEnd {
			if len(n.values) > 0 {
				s.expect(",")
			}
			n.values = append(n.values, s.expression())
		}
		s.end()
		return n
	case "include", "import", "from", "extends":
		unsupported("the tag %s", word)
	}
	syntaxAt(line, "unknown tag %q", word)
	return nil
}

func (p *parser) parseIf(f frame, s *stream, line int) node {
	n := &ifNode{line: line}
	f = f.branch()
	for word := "elif"; word == "elif"; {
		s.soft = true
		b := branch{test: s.tuple(s.or, false)}
		s.skip(":")
		s.end()
		b.body, word = p.bodyUntil(f, "elif", "else", "endif")
		n.branches = append(n.branches, b)
		s = p.tag
		if word == "else" {
			n.other = p.block(f, s, "endif")
		}
	}
	p.tag.end()
	return n
}

func (p *parser) parseFor(f frame, s *stream, line int) node {
	n := &forNode{line: line}
	s.soft = false
	n.target = s.target(false, "in")
	if !s.skipWord("in") {
		s.unexpected("in")
	}
	s.soft = f.soft
	n.iter = s.tuple(s.or, false, "recursive")
	s.soft = false
	if s.skipWord("if") {
		n.test = s.expression()
	}
	n.recursive = s.skipWord("recursive")
	s.skip(":")
	s.end()
	var word string
	n.body, word = p.bodyUntil(frame{loop: true}, "else", "endfor")
	if word == "else" {
		n.hasOther = true
		n.other = p.block(frame{loop: f.loop && !n.recursive}, p.tag, "endfor")
	}
	p.tag.end()
	if v := (&visitor{name: "loop"}); v.stores(n) {
		syntaxAt(line, "a loop must not assign to loop")
	}
	return n
}

// macroBody parses the signature and body of a macro, or of a call block, whose call stands between
// them.
func (p *parser) macroBody(s *stream, line int, word string, call func()) macroBody {
	m := macroBody{line: line}
	s.soft = false
	if call == nil || s.peek().is("(") {
		s.expect("(")
		for !s.peek().is(")") {
			if len(m.params) > 0 {
				s.expect(",")
			}
			name := s.name()
			if slices.Contains(m.params, name) {
				syntaxAt(line, "the parameter %s is repeated", name)
			}
			m.params = append(m.params, name)
			switch {
			case s.skip("="):
				m.defaults = append(m.defaults, s.expression())
			case len(m.defaults) > 0:
				syntaxAt(line, "the parameter %s without a default follows one with a default", name)
			}
		}
		s.expect(")")
	}
	if call != nil {
		call()
	}
	m.body = p.block(frame{}, s, word)
	m.caller, m.kwargs, m.varargs = reads(m.body, "caller"), reads(m.body, "kwargs"), reads(m.body, "varargs")
	if i := slices.Index(m.params, "caller"); i >= 0 && m.caller && i < len(m.params)-len(m.defaults) {
		syntaxAt(line, "the parameter caller needs a default")
	}
	for _, special := range []string{"kwargs", "varargs", "caller"} {
		if slices.Contains(m.params, special) {
			unsupported("a parameter named %s", special)
		}
	}
	return m
}

func (p *parser) parseBlock(s *stream, line int) node {
	name := s.name()
	if slices.Contains(p.blocks, name) {
		syntaxAt(line, "the block %s is defined twice", name)
	}
	p.blocks = append(p.blocks, name)
	n := &scopeNode{line: line, block: !s.skipWord("scoped")}
	if s.skipWord("required") {
		unsupported("a required block")
	}
	s.skip(":")
	s.end()
	n.body, _ = p.bodyUntil(frame{}, "endblock")
	p.tag.skipWord(name)
	p.tag.end()
	return n
}
