package jsonschema

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

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
	bounded := s.has("minLength") || s.has("maxLength")
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
		return fmt.Sprintf(`"\"" %s{%d,%d} "\""`, c.builtin("char"), least, most)
	case least > 0:
		return fmt.Sprintf(`"\"" %s{%d,} "\""`, c.builtin("char"), least)
	}
	return c.builtin("string")
}

// pattern returns an expression for strings in which a regular expression matches something. Where it does not begin with ^
// or end with $, any text may come before or after.
func (c *converter) pattern(v value, path string) string {
	text, ok := v.(string)
	if !ok {
		return c.fail(path, "pattern is %.50s: want a text", compact(v))
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return c.fail(path, "pattern %.100q: %w", text, err)
	}
	branches := []*syntax.Regexp{re}
	if re.Op == syntax.OpAlternate {
		branches = re.Sub
	}
	p := patternWriter{char: c.builtin("char")}
	var exprs []string
	for _, branch := range branches {
		exprs = append(exprs, p.anchored(branch))
	}
	if p.err != "" {
		return c.fail(path, "pattern %.100q: %s", text, p.err)
	}
	return `"\"" (` + strings.Join(exprs, " | ") + `) "\""`
}

// patternWriter writes regular expressions as expressions of a grammar, for the inside of a JSON string.
type patternWriter struct {
	char string // rule for any character
	err  string // the first
}

func (p *patternWriter) fail(format string, args ...any) string {
	if p.err == "" {
		p.err = fmt.Sprintf(format, args...)
	}
	return `""`
}

// anchored writes a whole expression, with what may stand around it.
func (p *patternWriter) anchored(re *syntax.Regexp) string {
	subs := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		subs = re.Sub
	}
	before, after := p.char+"*", p.char+"*"
	for len(subs) > 0 && subs[0].Op == syntax.OpBeginText {
		before, subs = "", subs[1:]
	}
	for len(subs) > 0 && subs[len(subs)-1].Op == syntax.OpEndText {
		after, subs = "", subs[:len(subs)-1]
	}
	parts := []string{before}
	for _, sub := range subs {
		parts = append(parts, p.write(sub))
	}
	expr := strings.TrimSpace(strings.Join(append(parts, after), " "))
	if expr == "" {
		return `""`
	}
	return expr
}

// write writes a part, so that it can be repeated.
func (p *patternWriter) write(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return `""`
	case syntax.OpLiteral:
		var parts []string
		for _, r := range re.Rune {
			parts = append(parts, p.set(folded(r, re.Flags&syntax.FoldCase != 0)))
		}
		return "(" + strings.Join(parts, " ") + ")"
	case syntax.OpCharClass:
		var set charset.Set
		for i := 0; i+1 < len(re.Rune); i += 2 {
			set = append(set, charset.Range{Lo: re.Rune[i], Hi: re.Rune[i+1]})
		}
		return p.set(set)
	case syntax.OpAnyCharNotNL:
		return p.set(charset.Of(0, '\n'-1, '\n'+1, utf8.MaxRune))
	case syntax.OpAnyChar:
		return p.set(charset.All())
	case syntax.OpCapture:
		return p.write(re.Sub[0])
	case syntax.OpStar:
		return p.write(re.Sub[0]) + "*"
	case syntax.OpPlus:
		return p.write(re.Sub[0]) + "+"
	case syntax.OpQuest:
		return p.write(re.Sub[0]) + "?"
	case syntax.OpRepeat:
		if re.Max < 0 {
			return fmt.Sprintf("%s{%d,}", p.write(re.Sub[0]), re.Min)
		}
		return fmt.Sprintf("%s{%d,%d}", p.write(re.Sub[0]), re.Min, re.Max)
	case syntax.OpConcat, syntax.OpAlternate:
		between := " "
		if re.Op == syntax.OpAlternate {
			between = " | "
		}
		var parts []string
		for _, sub := range re.Sub {
			parts = append(parts, p.write(sub))
		}
		return "(" + strings.Join(parts, between) + ")"
	case syntax.OpBeginText, syntax.OpEndText:
		return p.fail("^ and $ are supported at its beginning and end only")
	}
	return p.fail("%s is not supported", re)
}

func folded(r rune, fold bool) charset.Set {
	set := charset.Of(r, r)
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			set = append(set, charset.Range{Lo: f, Hi: f})
		}
	}
	return set
}

// set writes one character of a set as it stands in a JSON string: quotes, backslashes and a few control characters are
// written with a backslash, the other control characters not at all.
func (p *patternWriter) set(set charset.Set) string {
	set = set.Normalize()
	var exprs []string
	if plain := set.Intersect(charset.Of(' ', '!', '#', '[', ']', 0x7E, 0x80, utf8.MaxRune)); len(plain) > 0 {
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
