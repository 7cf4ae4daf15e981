package jsonschema

import (
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// string returns an expression for strings.
func (c *converter) string(s *object, path string) string {
	least, most := c.count(s, "minLength", path, 0), c.count(s, "maxLength", path, -1)
	format, _ := s.members["format"].(string)
	switch format {
	case "date", "time", "date-time", "uuid":
	default:
		format = "" // says nothing, by the standard
	}
	pattern, hasPattern := s.get("pattern")
	bounded := least > 0 || most >= 0
	switch {
	case most >= 0 && most < least:
		return c.fail(path, "minLength is %d, and maxLength %d", least, most)
	case hasPattern && bounded:
		return c.fail(path, "pattern beside minLength or maxLength is not supported: want a pattern with counts, as ^[a-z]{2,5}$")
	case format != "" && (hasPattern || bounded):
		return c.fail(path, "format %s beside pattern, minLength or maxLength is not supported", format)
	case format != "":
		return c.builtin(format)
	case hasPattern:
		return c.pattern(pattern, path)
	case most >= 0:
		return c.quoted(fmt.Sprintf("%s{%d,%d}", c.builtin("char"), least, most))
	case least > 0:
		return c.quoted(fmt.Sprintf("%s{%d,}", c.builtin("char"), least))
	}
	return c.builtin("string")
}

// pattern returns an expression for strings in which a regular expression of ECMA-262 matches
// something. Where it does not begin with ^ or end with $, any text may come before or after.
func (c *converter) pattern(v value, path string) string {
	text, ok := v.(string)
	if !ok {
		return c.fail(path, "pattern is %.50s: want a text", compact(v))
	}
	parsed, err := parseECMA(text)
	if err != nil {
		return c.fail(path, "pattern %.100q: %w", text, err)
	}
	branches, ok := parsed.(either)
	if !ok {
		branches = either{parsed}
	}
	p := patternWriter{char: c.builtin("char")}
	if p.avoid = c.spelling.avoid; c.spelling.Stop != "" {
		p.plain = c.spelling.chars()
	}
	var exprs []string
	for _, branch := range branches {
		exprs = append(exprs, p.anchored(branch))
	}
	if p.err != "" {
		return c.fail(path, "pattern %.100q: %s", text, p.err)
	}
	return c.quoted("(" + strings.Join(exprs, " | ") + ")")
}

// patternWriter writes regular expressions as expressions of a grammar, for the inside of a JSON
// string.
type patternWriter struct {
	char  string      // rule for any character
	plain charset.Set // the characters that there are, where none is written with a backslash
	avoid rune        // is written with one
	size  int         // bytes of the sets that were written
	err   string      // the first
}

func (p *patternWriter) fail(format string, args ...any) string {
	if p.err == "" {
		p.err = fmt.Sprintf(format, args...)
	}
	return `""`
}

// anchored writes a whole expression, with any characters before and after it unless it is anchored
// there.
func (p *patternWriter) anchored(n node) string {
	parts, _ := n.(concat)
	before, after := p.char+"*", p.char+"*"
	for len(parts) > 0 && parts[0] == (atBegin{}) {
		before, parts = "", parts[1:]
	}
	for len(parts) > 0 && parts[len(parts)-1] == (atEnd{}) {
		after, parts = "", parts[:len(parts)-1]
	}
	exprs := []string{before}
	for _, part := range parts {
		exprs = append(exprs, p.write(part))
	}
	expr := strings.TrimSpace(strings.Join(append(exprs, after), " "))
	if expr == "" {
		return `""`
	}
	return expr
}

// write writes a part, so that it can be repeated.
func (p *patternWriter) write(n node) string {
	switch n := n.(type) {
	case chars:
		expr := p.set(charset.Set(n))
		if p.size += len(expr); p.size > grammar.MaxText {
			return p.fail("its grammar becomes longer than %d bytes", grammar.MaxText)
		}
		return expr
	case group:
		return p.write(n.node)
	case times:
		expr := p.write(n.node)
		switch {
		case n.max < 0:
			return fmt.Sprintf("%s{%d,}", expr, n.min)
		default:
			return fmt.Sprintf("%s{%d,%d}", expr, n.min, n.max)
		}
	case concat:
		return p.join(n, " ")
	case either:
		return p.join(n, " | ")
	}
	return p.fail("^ and $ are supported at its beginning and end only")
}

// join writes parts in parentheses.
func (p *patternWriter) join(parts []node, between string) string {
	if len(parts) == 0 {
		return `""`
	}
	exprs := make([]string, len(parts))
	for i, part := range parts {
		exprs[i] = p.write(part)
	}
	return "(" + strings.Join(exprs, between) + ")"
}

// set writes one character of a set as it stands in a JSON string: quotes, backslashes and a few
// control characters are written with a backslash, the other control characters not at all.
func (p *patternWriter) set(set charset.Set) string {
	set = set.Normalize()
	if p.plain != nil {
		if set = set.Intersect(p.plain); len(set) == 0 {
			return p.fail("it wants characters that cannot be written")
		}
		return set.GBNF()
	}
	var exprs []string
	if p.avoid != 0 && set.Contains(p.avoid) {
		exprs = append(exprs, quote(fmt.Sprintf(`\u%04x`, p.avoid)))
		set = set.Intersect(charset.Of(p.avoid, p.avoid).Complement())
	}
	if plain := set.Intersect(jsonPlain); len(plain) > 0 {
		exprs = append(exprs, plain.GBNF())
	}
	for _, escaped := range []struct {
		r    rune
		text string
	}{{'"', `\"`}, {'\\', `\\`}, {'\n', `\n`}, {'\t', `\t`}, {'\r', `\r`}, {'\b', `\b`}, {'\f', `\f`}} {
		if set.Contains(escaped.r) {
			exprs = append(exprs, quote(escaped.text))
		}
	}
	switch len(exprs) {
	case 0:
		return p.fail("it wants control characters, which are not supported")
	case 1:
		return exprs[0]
	}
	return "(" + strings.Join(exprs, " | ") + ")"
}
