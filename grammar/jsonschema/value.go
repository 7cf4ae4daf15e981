package jsonschema

import (
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/grammar"
)

// values returns an expression for const and enum: for those of the values that all other keywords
// allow.
func (c *converter) values(s *object, path string) string {
	allowed := []value{s.members["const"]}
	if !s.has("const") {
		var ok bool
		if allowed, ok = s.members["enum"].([]value); !ok || len(allowed) == 0 {
			return c.fail(path, "enum is %.50s: want a list of values", compact(s.members["enum"]))
		}
	} else if list, ok := s.members["enum"].([]value); ok && !slices.ContainsFunc(list, func(v value) bool { return equal(v, allowed[0]) }) {
		return c.fail(path, "const is no member of enum")
	}
	check, rest := validator{c: c}, s.without("const").without("enum")
	var exprs []string
	for _, v := range allowed {
		ok := !rest.constrains()
		if !ok {
			var err error
			if ok, err = check.valid(rest, v, path, 0); err != nil {
				return c.fail(path, "%w", err)
			}
		}
		if ok {
			exprs = append(exprs, c.literal(v, path))
		}
	}
	if len(exprs) == 0 {
		return c.fail(path, "no value of enum or const is valid by what stands beside it")
	}
	return strings.Join(exprs, " | ")
}

// literal returns an expression for one value, with blanks where other values have them.
func (c *converter) literal(v value, path string) string {
	switch v := v.(type) {
	case string:
		return c.text(v, path)
	case []value:
		defer c.inside()()
		if len(v) == 0 {
			return `"[" ` + c.builtin("ws") + ` "]"`
		}
		var items []string
		for _, item := range v {
			items = append(items, c.literal(item, path))
		}
		ws := c.builtin("ws")
		return `"[" ` + ws + " " + strings.Join(items, ` "," `+ws+" ") + " " + ws + ` "]"`
	case *object:
		defer c.inside()()
		if len(v.keys) == 0 {
			return `"{" ` + c.builtin("ws") + ` "}"`
		}
		ws := c.builtin("ws")
		var members []string
		for _, key := range v.keys {
			members = append(members, c.name(key)+" "+ws+" "+c.literal(v.members[key], path))
		}
		return `"{" ` + ws + " " + strings.Join(members, ` "," `+ws+" ") + " " + ws + ` "}"`
	}
	return quote(compact(v))
}

// quote returns s as a literal of a grammar.
func quote(s string) string { return grammar.Literal(s) }
