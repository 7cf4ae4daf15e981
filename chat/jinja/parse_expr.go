package jinja

import (
	"slices"
	"strings"
)

// stream is the tokens of one tag.
type stream struct {
	tokens []token
	at     int
	soft   bool // Python looks the names of filters and tests up only when they are used
	checks []func()
}

func (s *stream) peek() token { return s.tokens[s.at] }

func (s *stream) look() token { return s.tokens[min(s.at+1, len(s.tokens)-1)] }

func (s *stream) next() token {
	t := s.tokens[s.at]
	if t.kind != tokenEnd {
		s.at++
	}
	return t
}

func (s *stream) skip(sign string) bool {
	if s.peek().is(sign) {
		s.at++
		return true
	}
	return false
}

func (s *stream) skipWord(name string) bool {
	if s.peek().word(name) {
		s.at++
		return true
	}
	return false
}

func (s *stream) expect(sign string) {
	if !s.skip(sign) {
		s.unexpected("%q", sign)
	}
}

func (s *stream) name() string {
	if s.peek().kind != tokenName {
		s.unexpected("a name")
	}
	return s.next().text
}

func (s *stream) unexpected(format string, args ...any) {
	t := s.peek()
	syntaxAt(t.line, "unexpected %s; want "+format, append([]any{t.describe()}, args...)...)
}

// end checks that the tag has nothing more, and that its filters and tests exist.
func (s *stream) end() {
	if s.peek().kind != tokenEnd {
		s.unexpected("the end of the tag")
	}
	for _, check := range s.checks {
		check()
	}
}

func (s *stream) expression() expr {
	checks := len(s.checks)
	x := s.or()
	for s.skipWord("if") {
		c := &condExpr{then: x, test: s.or()}
		if s.skipWord("else") {
			c.other = s.expression()
		}
		x = c
		s.checks = s.checks[:checks] // Python looks names up late here too
	}
	return x
}

func (s *stream) or() expr {
	x := s.and()
	for s.skipWord("or") {
		x = &logicExpr{false, x, s.and()}
	}
	return x
}

func (s *stream) and() expr {
	x := s.not()
	for s.skipWord("and") {
		x = &logicExpr{true, x, s.not()}
	}
	return x
}

func (s *stream) not() expr {
	if s.skipWord("not") {
		return &notExpr{s.not()}
	}
	return s.compare()
}

func (s *stream) compare() expr {
	c := &compareExpr{first: s.sum()}
	for {
		t := s.peek()
		switch {
		case t.kind == tokenSign && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text):
			s.at++
			c.rest = append(c.rest, comparison{t.text, s.sum()})
		case t.word("in"):
			s.at++
			c.rest = append(c.rest, comparison{"in", s.sum()})
		case t.word("not") && s.look().word("in"):
			s.at += 2
			c.rest = append(c.rest, comparison{"not in", s.sum()})
		case len(c.rest) == 0:
			return c.first
		default:
			return c
		}
	}
}

// binary parses operands of next with any of the signs between them, from the left.
func (s *stream) binary(next func() expr, signs ...string) expr {
	x := next()
	for {
		t := s.peek()
		if t.kind != tokenSign || !slices.Contains(signs, t.text) {
			return x
		}
		s.at++
		x = &binaryExpr{t.text, x, next()}
	}
}

func (s *stream) sum() expr { return s.binary(s.concat, "+", "-") }

func (s *stream) concat() expr {
	x := s.product()
	if !s.peek().is("~") {
		return x
	}
	c := &concatExpr{[]expr{x}}
	for s.skip("~") {
		c.items = append(c.items, s.product())
	}
	return c
}

func (s *stream) product() expr { return s.binary(s.power, "*", "/", "//", "%") }

// power binds from the left, unlike Python's.
func (s *stream) power() expr {
	return s.binary(func() expr { return s.unary(true) }, "**")
}

func (s *stream) unary(filters bool) expr {
	var x expr
	switch t := s.peek(); {
	case t.is("-"), t.is("+"):
		s.at++
		x = &unaryExpr{t.text, s.unary(false)}
	default:
		x = s.primary(false)
	}
	x = s.postfix(x)
	if filters {
		x = s.filters(x)
	}
	return x
}

// primary parses a name or a literal, or, where it is allowed, an attribute of a namespace as a
// target.
func (s *stream) primary(namespace bool) expr {
	t := s.peek()
	switch {
	case t.kind == tokenName:
		s.at++
		switch t.text {
		case "true", "True":
			return &constExpr{true}
		case "false", "False":
			return &constExpr{false}
		case "none", "None":
			return &constExpr{nil}
		}
		if namespace && s.skip(".") {
			return &nsExpr{t.text, s.name()}
		}
		return &nameExpr{t.text}
	case t.kind == tokenString:
		var text strings.Builder
		for s.peek().kind == tokenString {
			text.WriteString(s.next().text)
		}
		return &constExpr{text.String()}
	case t.kind == tokenNumber:
		s.at++
		return &constExpr{t.value}
	case t.is("("):
		s.at++
		x := s.tuple(s.expression, true)
		s.expect(")")
		return x
	case t.is("["):
		s.at++
		list := &listExpr{}
		for !s.peek().is("]") {
			if len(list.items) > 0 {
				s.expect(",")
				if s.peek().is("]") {
					break
				}
			}
			list.items = append(list.items, s.expression())
		}
		s.expect("]")
		return list
	case t.is("{"):
		s.at++
		dict := &dictExpr{}
		for !s.peek().is("}") {
			if len(dict.keys) > 0 {
				s.expect(",")
				if s.peek().is("}") {
					break
				}
			}
			key := s.expression()
			s.expect(":")
			dict.keys, dict.values = append(dict.keys, key), append(dict.values, s.expression())
		}
		s.expect("}")
		return dict
	}
	s.unexpected("an expression")
	return nil
}

// tuple parses one expression, or a tuple of several with commas. An empty one is allowed in
// brackets alone. It ends before one of the words.
func (s *stream) tuple(parse func() expr, brackets bool, words ...string) expr {
	var items []expr
	isTuple := false
	for {
		if len(items) > 0 {
			s.expect(",")
		}
		t := s.peek()
		if t.kind == tokenEnd || t.is(")") || t.kind == tokenName && slices.Contains(words, t.text) {
			break
		}
		items = append(items, parse())
		if !s.peek().is(",") {
			break
		}
		isTuple = true
	}
	if !isTuple {
		if len(items) > 0 {
			return items[0]
		}
		if !brackets {
			s.unexpected("an expression")
		}
	}
	return &tupleExpr{items}
}

func (s *stream) postfix(x expr) expr {
	for {
		t := s.peek()
		switch {
		case t.is("."):
			s.at++
			switch name := s.next(); name.kind {
			case tokenName:
				x = &attrExpr{x, name.text}
			case tokenNumber:
				if _, ok := name.value.(float64); ok {
					syntaxAt(name.line, "a name or an integer must follow the dot")
				}
				x = newItem(x, &constExpr{name.value})
			default:
				syntaxAt(name.line, "a name or an integer must follow the dot")
			}
		case t.is("["):
			s.at++
			var keys []expr
			for !s.peek().is("]") {
				if len(keys) > 0 {
					s.expect(",")
				}
				keys = append(keys, s.subscript())
			}
			s.expect("]")
			if len(keys) == 1 {
				x = newItem(x, keys[0])
			} else {
				x = newItem(x, &tupleExpr{keys})
			}
		case t.is("("):
			x = &callExpr{x, s.arguments()}
		default:
			return x
		}
	}
}

func newItem(object, key expr) *itemExpr {
	return &itemExpr{object, key, isConstant(object) && isConstant(key)}
}

// isConstant reports whether an expression is made of literals alone.
func isConstant(x expr) bool {
	v := visitor{any: true}
	v.expr(x)
	return !v.found
}

func (s *stream) subscript() expr {
	var bounds [3]expr
	if !s.peek().is(":") {
		x := s.expression()
		if !s.peek().is(":") {
			return x
		}
		bounds[0] = x
	}
	for i := 1; i < 3 && s.skip(":"); i++ {
		if t := s.peek(); !t.is(":") && !t.is("]") && !t.is(",") {
			bounds[i] = s.expression()
		}
	}
	return &sliceExpr{bounds[0], bounds[1], bounds[2]}
}

func (s *stream) filters(x expr) expr {
	for {
		t := s.peek()
		switch {
		case t.is("|"):
			s.at++
			x = s.filter(x)
		case t.word("is"):
			s.at++
			x = s.test(x)
		case t.is("("):
			x = &callExpr{x, s.arguments()}
		default:
			return x
		}
	}
}

func (s *stream) dotted() string {
	names := []string{s.name()}
	for s.skip(".") {
		names = append(names, s.name())
	}
	return strings.Join(names, ".")
}

// filter parses one filter, after its "|".
func (s *stream) filter(x expr) expr {
	f := &filterExpr{x: x, line: s.peek().line, name: s.dotted()}
	if s.peek().is("(") {
		f.args = s.arguments()
	}
	if !s.soft {
		s.checks = append(s.checks, func() { checkFilter(f.name, f.line) })
	}
	return f
}

func (s *stream) test(x expr) expr {
	negated := s.skipWord("not")
	t := &testExpr{x: x, line: s.peek().line, name: s.dotted()}
	switch next := s.peek(); {
	case next.is("("):
		t.args = s.arguments()
	case next.kind == tokenName && !slices.Contains([]string{"else", "or", "and"}, next.text),
		next.kind == tokenString, next.kind == tokenNumber, next.is("["), next.is("{"):
		if next.word("is") {
			syntaxAt(next.line, "tests with is cannot follow each other")
		}
		t.args.values = []expr{s.postfix(s.primary(false))}
	}
	if !s.soft {
		s.checks = append(s.checks, func() { checkTest(t.name, t.line) })
	}
	if negated {
		return &notExpr{t}
	}
	return t
}

func (s *stream) arguments() arguments {
	line := s.peek().line
	s.expect("(")
	var a arguments
	ensure := func(ok bool) {
		if !ok {
			syntaxAt(line, "the arguments of a call are in a wrong order")
		}
	}
	for first := true; !s.peek().is(")"); first = false {
		if !first {
			s.expect(",")
			if s.peek().is(")") {
				break
			}
		}
		t := s.peek()
		switch {
		case t.is("*"):
			ensure(a.dynamic == nil && a.dynamicKW == nil)
			s.at++
			a.dynamic = s.expression()
		case t.is("**"):
			ensure(a.dynamicKW == nil)
			s.at++
			a.dynamicKW = s.expression()
		case t.kind == tokenName && s.look().is("="):
			ensure(a.dynamicKW == nil)
			s.at += 2
			for _, k := range a.keywords {
				if k.name == t.text {
					syntaxAt(t.line, "the keyword argument %s is repeated", t.text)
				}
			}
			a.keywords = append(a.keywords, keyword{t.text, s.expression()})
		default:
			ensure(a.dynamic == nil && a.dynamicKW == nil && len(a.keywords) == 0)
			a.values = append(a.values, s.expression())
		}
	}
	s.expect(")")
	return a
}

// target parses what is assigned to.
func (s *stream) target(namespace bool, words ...string) expr {
	line := s.peek().line
	t := s.tuple(func() expr { return s.primary(namespace) }, false, words...)
	checkTarget(t, line)
	return t
}

func checkTarget(t expr, line int) {
	switch t := t.(type) {
	case *nameExpr:
	case *nsExpr:
	case *tupleExpr:
		for _, item := range t.items {
			checkTarget(item, line)
		}
	default:
		syntaxAt(line, "only names and tuples of names can be assigned to")
	}
}
