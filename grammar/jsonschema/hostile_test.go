package jsonschema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
)

// hostileSchemas are small JSON schemas that are large, deep or without end, with what becomes of
// them.
var hostileSchemas = map[string]struct{ schema, want string }{
	"parts that refer twice to the next":    {fan(30), "too deep"},
	"references that lead in a circle":      {`{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}`, "no text follows"},
	"a circle of merges":                    {`{"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}`, "too deep"},
	"a merge that grows":                    {`{"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"properties": {"x": {"$ref": "#/$defs/a"}}}, {"properties": {"x": {"$ref": "#/$defs/b"}}}]}, "b": {"allOf": [{"properties": {"x": {"$ref": "#/$defs/b"}}}, {"properties": {"x": {"$ref": "#/$defs/a"}}}]}}}`, "deep"},
	"alternatives that grow":                {`{"anyOf": [{"$ref": "#"}], "type": "object"}`, "schemas lie more than"},
	"alternatives with a tag that grow":     {`{"oneOf": [{"$ref": "#"}, {"$ref": "#/$defs/a"}], "discriminator": {"propertyName": "` + strings.Repeat("n", 1000) + `"}}`, "schemas lie more than"},
	"many alternatives that exclude others": {`{"oneOf": [` + strings.Repeat(`{"const": 1},`, 100_000) + `true]}`, "1 to 1000 schemas"},
	"many values":                           {`{"enum": [` + strings.Repeat(`1,`, 1<<20) + `1]}`, "longer than"},
	"many names":                            {`{"required": [` + strings.Repeat(`"a","b",`, 1<<18) + `"c"]}`, "works"},
	"many types":                            {`{"type": [` + strings.Repeat(`"a",`, 1<<18) + `"c"]}`, "each once"},
	"deep":                                  {strings.Repeat("[", 1<<20), "deep"},
	"a long name and many within":           {`{"properties": {"` + strings.Repeat("n", 1<<20) + `": {"properties": {` + members(5_000) + `}}}}`, "parts"},
	"a large string":                        {`{"maxLength": 100000}`, "works"},
	"large lists within each other":         {`{"minItems": 90000, "items": {"minItems": 90000, "items": {"minItems": 90000}}}`, "works"},
	"a large pattern":                       {`{"pattern": "((a{0,30}){0,30}){0,30}"}`, "invalid repeat count"},
	"a pattern of large classes":            {`{"pattern": "` + strings.Repeat(`\\P{L}`, 2_000) + `"}`, "longer than"},
	"a pattern with many cases":             {`{"pattern": "(?i:` + strings.Repeat(`[a-z]`, 3_000) + `)"}`, "works"},
	"a list and a pattern with many ways":   {`{"pattern": "(((((a*)*)*)*)*)*b", "enum": ["` + strings.Repeat("a", 10_000) + `", "b"]}`, "works"},
	"a list and references that fan out":    {`{"enum": [1], "allOf": [` + fan(30) + `], ` + fan(30)[len(`{"$ref": "#/$defs/d0", `):], "takes too long"},
	"a list and a circle of references":     {`{"enum": [1], "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}`, "takes too long"},
	"a pattern with many ways":              {`{"pattern": "(a*a*a*a*)*b"}`, "works"},
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d": {"type": "null"},`, i)
	}
	return b.String() + `"x": true`
}

func fan(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref": "#/$defs/d0", "$defs": {`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d": {"allOf": [{"$ref": "#/$defs/d%d"}, {"$ref": "#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d": {"type": "string"}}}`, n)
	return b.String()
}

// A schema may come from anybody.
func TestHostileSchemasEndInAnError(t *testing.T) {
	names := map[string]string{}
	for name, s := range hostileSchemas {
		names[name] = s.want
	}
	grammartest.Alone(t, names, func(name string) error {
		gbnf, err := Grammar([]byte(hostileSchemas[name].schema))
		if err != nil {
			return err
		}
		_, err = grammar.New(grammartest.Letters(), gbnf)
		return err
	})
}
