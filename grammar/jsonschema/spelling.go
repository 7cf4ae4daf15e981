package jsonschema

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// Spelling says how values are written where that is not JSON's way. The zero value is JSON.
type Spelling struct {
	// Stop makes strings texts as they are, without escapes and without Stop in them. Control characters
	// but tabs and ends of lines are not written either. "": strings are JSON's.
	Stop string
	// Quote is an expression of GBNF for what stands on both sides of such a string; "": nothing does.
	Quote string
	// Outermost has only a string that is the whole value written so. All within objects and arrays is
	// JSON.
	Outermost bool
	// Bare leaves the quotes of members' names out, and all white space. Names that are not made of
	// letters, digits, _ and - are written as strings.
	Bare bool

	avoid rune // JSON is written without it, because it may begin a Stop; 0: none
}

// inside spells what stands inside of an object or an array, until the function that it returns is
// called.
func (c *converter) inside() (back func()) {
	before := c.spelling
	if before.Outermost {
		first, _ := utf8.DecodeRuneInString(before.Stop)
		c.spelling = Spelling{avoid: first}
	}
	return func() { c.spelling = before }
}

// quoted returns an expression for a string of which expr is the inside.
func (c *converter) quoted(expr string) string {
	switch {
	case c.spelling.Stop == "":
		return `"\"" ` + expr + ` "\""`
	case c.spelling.Quote == "":
		return expr
	}
	return c.spelling.Quote + " " + expr + " " + c.spelling.Quote
}

// text returns an expression for one string.
func (c *converter) text(s, path string) string {
	if c.spelling.Stop == "" {
		return quote(c.json(s))
	}
	if strings.Contains(s, c.spelling.Stop) {
		return c.fail(path, "the text %.50q contains %s, which ends it", s, c.spelling.Stop)
	}
	return c.quoted(quote(s))
}

// json returns a text as a JSON string.
func (c *converter) json(s string) string {
	text := jsonString(s)
	if r := c.spelling.avoid; r != 0 {
		text = strings.ReplaceAll(text, string(r), fmt.Sprintf(`\u%04x`, r))
	}
	return text
}

// name returns an expression for the name of a member, with the colon.
func (c *converter) name(s string) string {
	switch {
	case !c.spelling.Bare || strings.Contains(s, c.spelling.Stop):
		return quote(c.json(s) + ":")
	case s != "" && strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) && r != '_' }) < 0:
		return quote(s + ":")
	}
	return c.quoted(quote(s)) + ` ":"`
}

// written are the characters that texts without escapes have.
var written = charset.Of('\t', '\n', ' ', 0x7E, 0x80, utf8.MaxRune)

// jsonPlain are those that stand in JSON strings without a backslash, as in the builtin rule.
var jsonPlain = charset.Of(' ', '!', '#', '[', ']', 0x7E, 0x80, utf8.MaxRune)

// chars returns the characters of which any number is a text without Stop: all but its first one.
func (s Spelling) chars() charset.Set {
	first, _ := utf8.DecodeRuneInString(s.Stop)
	return written.Intersect(charset.Of(first, first).Complement())
}

// ownRule names a rule that a spelling has for itself.
type ownRule struct {
	name     string
	spelling Spelling
}

// ownRule returns the rule that the spelling has in place of a builtin one, "" if it has none.
func (c *converter) ownRule(name string) string {
	s := c.spelling
	switch name {
	case "date", "time", "date-time", "uuid":
		if s.Stop == "" {
			return ""
		}
	case "plain":
		if s.avoid == 0 {
			return ""
		}
	case "string", "char":
		if s.Stop == "" && s.avoid == 0 {
			return ""
		}
	case "value":
		switch {
		case s.Outermost:
			return c.textWithout(s.Stop) // which is read as what it seems to be
		case s.Stop == "" && s.avoid == 0:
			return ""
		}
	case "ws":
		if s.Bare {
			return `""`
		}
		return ""
	case "object", "array":
		if s.Outermost || s.Stop == "" && s.avoid == 0 {
			return ""
		}
	default:
		return ""
	}
	key := ownRule{name, s}
	rule, ok := c.own[key]
	if !ok {
		rule = c.unique("own/" + name)
		c.own[key] = rule
		c.add(rule, c.ownBody(name))
	}
	return rule
}

func (c *converter) ownBody(name string) string {
	json := c.spelling.Stop == ""
	switch name {
	case "plain":
		return jsonPlain.Intersect(charset.Of(c.spelling.avoid, c.spelling.avoid).Complement()).GBNF()
	case "char":
		if json {
			c.builtin("hex")
			return strings.Replace(builtins["char"].expr, "plain", c.builtin("plain"), 1)
		}
		return c.spelling.chars().GBNF()
	case "string":
		if json {
			return c.quoted(c.builtin("char") + "*")
		}
		return c.quoted(c.textWithout(c.spelling.Stop))
	case "value":
		return strings.Join([]string{
			c.builtin("object"), c.builtin("array"), c.builtin("string"), c.builtin("number"), c.builtin("boolean"), c.builtin("null"),
		}, " | ")
	case "object":
		pair := c.builtin("string") + ` ":" ` + c.builtin("ws") + " " + c.builtin("value")
		return list("{", pair, "}", c.builtin("ws"), 0, -1)
	case "array":
		return list("[", c.builtin("value"), "]", c.builtin("ws"), 0, -1)
	}
	// The formats: what JSON has between quotes.
	for _, need := range builtins[name].needs {
		c.builtin(need)
	}
	inside := strings.TrimSuffix(strings.TrimPrefix(builtins[name].expr, `"\"" `), ` "\""`)
	return c.quoted(inside)
}
