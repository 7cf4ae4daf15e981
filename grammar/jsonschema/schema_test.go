package jsonschema

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
	"github.com/seed4d217819/ebb/grammar/internal/oracle"
)

// follow returns what keeps bytes to the grammar of a schema.
func follow(t testing.TB, schema string) grammartest.Processor {
	t.Helper()
	gbnf, err := Grammar([]byte(schema))
	if err != nil {
		t.Fatalf("%v\nin %s", err, schema)
	}
	g, err := grammar.New(grammartest.Letters(), gbnf)
	if err != nil {
		t.Fatalf("%v\nin %s", err, schema)
	}
	return g.Processor(0, nil)
}

// ecmaRegexp is a pattern for the other implementation, whose own are not ECMA-262's.
// TestPatternsAreThoseOfECMAScript compares it with an engine of JavaScript.
type ecmaRegexp struct {
	pattern string
	node    node
}

func (r ecmaRegexp) MatchString(text string) bool {
	ok, err := (&validator{}).matches(r.node, []rune(text))
	return ok && err == nil
}

func (r ecmaRegexp) String() string { return r.pattern }

func compileSchema(t testing.TB, schema string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(func(pattern string) (jsonschema.Regexp, error) {
		n, err := parseECMA(pattern)
		return ecmaRegexp{pattern, n}, err
	})
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("%v\nin %s", err, schema)
	}
	return s
}

var schemas = []struct {
	name, schema string
	yes, no      []string
}{
	{"anything", `true`, []string{`{"a": [1, -2.5e10, "x\n\u00e9", true, false, null, {}]}`, `0`}, []string{``, `{a: 1}`, `[1,]`, `01`, `"\ud800"`, "\"\n\"", `{"a" 1}`}},
	{"anything, in words", `{"title": "T", "description": "D", "default": 1, "$comment": "", "x-order": 1}`, []string{`null`, `[]`}, []string{`nul`}},
	{"types", `{"type": ["integer", "null"]}`, []string{`-12`, `0`, `null`}, []string{`1.5`, `"a"`, `-0`, `00`}},
	{"boolean", `{"type": "boolean"}`, []string{`true`, `false`}, []string{`1`}},
	{
		"members in order", `{"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}, "c": {"type": "null"}}, "required": ["a"]}`,
		[]string{`{"b":1,"a":"x"}`, `{ "a": "", "c": null }`, "{\n  \"b\": 2,\n  \"a\": \"y\"\n}"},
		[]string{`{"a":"x","b":1}`, `{"b":1}`, `{}`, `{"a":"x","d":1}`, `{"a":"x",}`, `{,"a":"x"}`},
	},
	{"all members may be missing", `{"properties": {"a": {"type": "null"}, "b": {"type": "null"}}}`, []string{`{}`, `{"b":null}`, `{"a":null,"b":null}`}, []string{`{"b":null,"a":null}`, `1`}},
	{
		"other members", `{"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "integer"}, "é\"": true}, "additionalProperties": {"type": "boolean"}}`,
		[]string{`{"a":1,"b":true,"c":false}`, `{"abc":true}`, `{"":true}`, `{"ab":1,"é":true}`},
		[]string{`{"b":1}`, `{"a":true}`, `{"ab":true}`, `{"b":true,"a":1}`, `{"\u0061":true}`},
	},
	{"no members", `{"type": "object", "additionalProperties": false}`, []string{`{}`, `{ }`}, []string{`{"a":1}`}},
	{"a map", `{"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2}`, []string{`{"a":1}`, `{"a":1,"b":2}`}, []string{`{}`, `{"a":1,"b":2,"c":3}`}},
	{"a member that must be there and is not described", `{"type": "object", "properties": {"a": true}, "required": ["b"]}`, []string{`{"b":1}`, `{"a":0,"b":[]}`}, []string{`{"a":0}`}},
	{"a member that must not be there", `{"type": "object", "properties": {"a": false, "b": true}, "additionalProperties": true}`, []string{`{"b":1,"c":1}`, `{"aa":2}`}, []string{`{"a":1}`}},
	{"names with odd characters", `{"properties": {"a\"b\\c\n\u0001/~é": {"const": 1}}, "required": ["a\"b\\c\n\u0001/~é"]}`, []string{`{"a\"b\\c\n\u0001/~é":1}`}, []string{`{}`}},
	{"a list", `{"type": "array", "items": {"type": "integer"}}`, []string{`[]`, `[ ]`, `[1]`, `[1, 2,3]`}, []string{`[1,"a"]`, `[1,]`}},
	{"a short list", `{"type": "array", "items": {"enum": [1]}, "minItems": 2, "maxItems": 4}`, []string{`[1,1]`, `[1,1,1,1]`}, []string{`[1]`, `[]`, `[1,1,1,1,1]`}},
	{"an empty list", `{"type": "array", "maxItems": 0}`, []string{`[]`}, []string{`[1]`}},
	{"a list of one", `{"type": "array", "items": true, "maxItems": 1, "uniqueItems": true}`, []string{`[]`, `[{}]`}, []string{`[1,2]`}},
	{"a tuple", `{"prefixItems": [{"const": 1}, {"const": 2}], "items": false, "minItems": 1}`, []string{`[1]`, `[1,2]`}, []string{`[]`, `[2]`, `[1,2,3]`}},
	{"a tuple and more", `{"prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}, "minItems": 1, "maxItems": 4}`, []string{`[1]`, `[1,2]`, `[1,2,3,3]`}, []string{`[]`, `[1,3]`, `[1,2,3,3,3]`}},
	{"a tuple and at least two more", `{"prefixItems": [{"const": 1}], "items": {"const": 3}, "minItems": 3}`, []string{`[1,3,3]`, `[1,3,3,3]`}, []string{`[1,3]`, `[]`}},
	{"a tuple that is cut", `{"prefixItems": [{"const": 1}, {"const": 2}, {"const": 3}], "maxItems": 2}`, []string{`[]`, `[1,2]`}, []string{`[1,2,3]`}},
	{"values", `{"enum": ["a\"b", 1.5, null, {"k": [1, {}, []]}, true]}`, []string{`"a\"b"`, `1.5`, `null`, `{"k":[1,{},[]]}`, `{ "k": [ 1, { }, [ ] ] }`}, []string{`"a"`, `{}`, `1.50`}},
	{"values of a type", `{"type": "string", "enum": ["a", 1]}`, []string{`"a"`}, []string{`1`}},
	{"a constant", `{"const": 0, "type": "number"}`, []string{`0`}, []string{`1`}},
	{"either", `{"anyOf": [{"type": "integer"}, {"type": "null"}]}`, []string{`3`, `null`}, []string{`"a"`}},
	{"either, with what both have", `{"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}`, []string{`{"a":null}`, `{"b":null}`}, []string{`{}`}},
	{
		"one of several kinds",
		`{"oneOf": [{"properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind"]}, {"properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind"]}]}`,
		[]string{`{"kind":"a","x":1}`, `{"kind":"b"}`},
		[]string{`{"kind":"c"}`, `{"kind":"a","y":""}`},
	},
	{"one of two types", `{"oneOf": [{"type": "string"}, {"type": "integer"}, {"enum": [null]}]}`, []string{`"a"`, `1`, `null`}, []string{`[]`}},
	{"one of two members", `{"oneOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}, {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]}]}`, []string{`{"a":null}`, `{"b":null}`}, []string{`{}`, `{"a":null,"b":null}`}},
	{
		"all of several",
		`{"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "integer"}, "a": {"maxLength": 2}}, "required": ["b"]}], "$defs": {"base": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}}`,
		[]string{`{"a":"xy","b":1}`},
		[]string{`{"a":"xyz","b":1}`, `{"b":1}`, `{"a":"x"}`},
	},
	{"all of two numbers", `{"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 5}, {"minimum": 1}]}`, []string{`3`, `5`}, []string{`2`, `6`, `3.5`}},
	{"a reference and more", `{"$ref": "#/$defs/s", "maxLength": 1, "$defs": {"s": {"type": "string"}}}`, []string{`"a"`, `""`}, []string{`"ab"`}},
	{"a tree", `{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["v"]}}}`, []string{`{"v":1}`, `{"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]}`}, []string{`{"kids":[]}`, `{"v":1,"kids":[1]}`}},
	{"itself", `{"type": "array", "items": {"$ref": "#"}}`, []string{`[]`, `[[],[[]]]`}, []string{`[1]`}},
	{"references of all kinds", `{"properties": {"a": {"$ref": "#/definitions/x~1y%20z"}, "b": {"$ref": "#here"}, "c": {"$ref": "#/properties/a"}, "d": {"$ref": "#/prefixItems/0"}}, "definitions": {"x/y z": {"const": 1}, "q": {"$anchor": "here", "const": 2}}, "prefixItems": [{"const": 4}], "type": "object", "required": ["a", "b", "c", "d"]}`, []string{`{"a":1,"b":2,"c":1,"d":4}`}, []string{`{"a":2,"b":2,"c":1,"d":4}`}},
	{"a string of some length", `{"type": "string", "minLength": 2, "maxLength": 3}`, []string{`"ab"`, `"é\n\u00e9"`, `"\"\\\/"`, `"語語語"`}, []string{`"a"`, `"abcd"`, `""`}},
	{"a long string", `{"minLength": 3}`, []string{`"abc"`, `"abcdef"`}, []string{`"ab"`}},
	{"a pattern", `{"type": "string", "pattern": "^[a-z]{2,3}(-[0-9]+)?$"}`, []string{`"ab"`, `"abc-42"`}, []string{`"a"`, `"abcd"`, `"ab-"`, `"AB"`}},
	{"a pattern somewhere", `{"pattern": "b+"}`, []string{`"abc"`, `"b"`, `"\"b"`}, []string{`"ac"`, `""`}},
	{"patterns of all kinds", `{"pattern": "^(?:a|b\\d|\\w.|\"\\\\[\\x00-\\n\\r\\t\\f]|(?i:k)[^\\s\"])$|^x"}`, []string{`"a"`, `"b1"`, `"_é"`, `"\"\\\n"`, `"Ké"`, `"K1"`, `"xyz"`}, []string{`"b"`, `"yxz"`, `"é "`}},
	{"formats", `{"properties": {"d": {"type": "string", "format": "date"}, "t": {"format": "time", "type": "string"}, "dt": {"type": "string", "format": "date-time"}, "u": {"type": "string", "format": "uuid"}}}`, []string{`{"d":"2024-12-31","t":"23:59:59.5Z","dt":"2000-02-28T00:00:00+01:00","u":"123e4567-e89b-12d3-a456-426614174000"}`}, []string{`{"d":"2024-13-01"}`, `{"d":"2024-04-31"}`, `{"d":"2023-02-29"}`, `{"t":"24:00:00Z"}`, `{"u":"1"}`}},
	{"formats that say nothing", `{"type": "string", "format": "int32"}`, []string{`"x"`}, []string{`1`}},
	{"whole numbers within bounds", `{"type": "integer", "minimum": -12, "maximum": 123}`, []string{`-12`, `-1`, `0`, `9`, `10`, `99`, `123`}, []string{`-13`, `124`, `-0`, `200`, `1000`, `-20`, `05`, `1.0`}},
	{"whole numbers above", `{"type": "integer", "exclusiveMinimum": 0}`, []string{`1`, `999999999999999`}, []string{`0`, `-1`}},
	{"whole numbers below", `{"type": "integer", "maximum": -5.5}`, []string{`-6`, `-10`, `-123456`}, []string{`-5`, `0`, `5`}},
	{"whole numbers of 64 bits", `{"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807, "multipleOf": 1}`, []string{`-999999999999999`, `7`}, []string{`1000000000000000`}},
	{"numbers within bounds", `{"type": "number", "minimum": -1, "maximum": 100}`, []string{`-1`, `-0.5`, `0`, `0.25`, `99.999`, `100`}, []string{`-1.5`, `100.1`, `101`, `1e2`, `-0`}},
	{"numbers between", `{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}`, []string{`0.5`, `0.000001`}, []string{`0`, `1`, `0.0`, `-0.5`}},
	{"numbers above nothing", `{"type": "number", "exclusiveMinimum": -2, "exclusiveMaximum": 0}`, []string{`-1`, `-1.99`, `-0.5`}, []string{`0`, `-2`, `-0.0`, `-2.0`}},
	{"keywords of other types say nothing", `{"type": "string", "minimum": 3, "items": false}`, []string{`""`}, []string{`3`}},
	{"keywords that the standard does not have", `{"type": "string", "nullable": true, "minlength": 3, "discriminator": {}, "errorMessage": "x"}`, []string{`""`, `"a"`}, []string{`null`}},
	{
		"tagged unions", `{"oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}], "discriminator": {"mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}, "propertyName": "kind"},
			"$defs": {"Cat": {"properties": {"kind": {"const": "cat", "default": "cat", "type": "string"}, "lives": {"type": "integer"}}, "type": "object"},
			"Dog": {"properties": {"kind": {"const": "dog", "default": "dog", "type": "string"}, "name": {"type": "string"}}, "type": "object", "required": ["name"]}}}`,
		[]string{`{"kind":"cat","lives":9}`, `{"kind":"dog","name":"x"}`},
		[]string{`{"kind":"dog"}`, `{"lives":9}`, `{"kind":"cat","name":"x"}`},
	},
	{
		"keywords that say nothing", `{"type": "object", "patternProperties": {}, "propertyNames": {"type": "string"}, "dependentRequired": {}, "if": {"required": ["a"]}, "unevaluatedProperties": true,
			"not": false, "contains": {"const": 1}, "additionalProperties": {"type": "integer"}}`,
		[]string{`{"a":1}`},
		[]string{`{"a":"x"}`, `[]`},
	},
	{"bounds that say nothing", `{"type": "string", "pattern": "^a$", "minLength": 0}`, []string{`"a"`}, []string{`""`}},
	{"numbers of a list within bounds", `{"enum": [1, 2, 3, 4.5, "x"], "type": "number", "minimum": 2, "exclusiveMaximum": 4.5}`, []string{`2`, `3`}, []string{`1`, `4.5`, `"x"`}},
	{"texts of a list that match", `{"enum": ["a", "bb", "ccc", "é1", 7], "minLength": 2, "pattern": "^\\S+$", "maxLength": 2, "type": "string"}`, []string{`"bb"`, `"é1"`}, []string{`"a"`, `"ccc"`, `7`}},
	{
		"values of a list by all that stands beside it",
		`{"enum": [1, 6, 9, "b", null, [1, 1], [1, 2], {"a": 1}, {"b": 1}], "not": {"const": "b"}, "anyOf": [{"type": ["number", "null"], "multipleOf": 3}, {"type": "array", "uniqueItems": true, "items": {"minimum": 1}}, {"type": "object", "required": ["a"]}], "allOf": [{"$ref": "#/$defs/n"}], "$defs": {"n": {"minimum": 5}}}`,
		[]string{`6`, `9`, `null`, `[1,2]`, `{"a":1}`},
		[]string{`1`, `"b"`, `[1,1]`, `{"b":1}`},
	},
	{"spaces are ECMAScript's", `{"type": "string", "pattern": "^\\S$"}`, []string{`"a"`, `"é"`}, []string{"\"\u00a0\"", "\"\u2003\"", "\"\ufeff\"", `" "`}},
	{
		"what OpenAI calls strict", `{"type": "object", "additionalProperties": false, "required": ["items", "next", "note", "kind"], "title": "T", "description": "D",
			"properties": {
				"items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
				"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
				"note": {"type": ["string", "null"], "description": "D"},
				"kind": {"type": "string", "enum": ["a", "b"]}
			},
			"$defs": {"item": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"], "additionalProperties": false}}}`,
		[]string{`{"items":[{"n":1.5}],"next":null,"note":null,"kind":"a"}`, `{"items":[],"next":{"items":[],"next":null,"note":"","kind":"b"},"note":"x","kind":"a"}`},
		[]string{`{"items":[{}],"next":null,"note":null,"kind":"a"}`, `{"items":[],"next":null,"note":null}`, `{"items":[],"next":null,"note":null,"kind":"c"}`, `{"items":[],"next":null,"note":null,"kind":"a","more":1}`},
	},
	{"any object", `{"type": "object"}`, []string{`{}`, `{"a": [1, {"b": null}]}`}, []string{`[]`, `1`, `"a"`}},
	{"pretty", `{"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}`, []string{"{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}"}, []string{"{\n\n}", "{}\n"}},
}

func TestSchemasAllowTheirTexts(t *testing.T) {
	for _, tc := range schemas {
		t.Run(tc.name, func(t *testing.T) {
			g, schema := follow(t, tc.schema), compileSchema(t, tc.schema)
			for _, text := range tc.yes {
				if !grammartest.Matches(g, text) {
					t.Errorf("%s is not allowed", text)
				}
				if err := validate(schema, text); err != nil {
					t.Errorf("the test is wrong: %s: %v", text, err)
				}
			}
			for _, text := range tc.no {
				if grammartest.Matches(g, text) {
					t.Errorf("%s is allowed", text)
				}
			}
		})
	}
}

// What the grammar of a schema allows parses, and another implementation of JSON schemas takes it.
func TestTextsWrittenForASchemaAreValid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tc := range schemas {
		t.Run(tc.name, func(t *testing.T) {
			g, schema := follow(t, tc.schema), compileSchema(t, tc.schema)
			for range 60 {
				text, ok := grammartest.Write(g, r, 20_000)
				if !ok {
					t.Fatalf("the grammar cannot end after %d bytes: %.200q", len(text), text)
				}
				if err := validate(schema, text); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
		})
	}
}

func validate(schema *jsonschema.Schema, text string) error {
	if err := json.Unmarshal([]byte(text), new(any)); err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

func TestWhatASchemaCannotDoIsAnErrorWithItsPlace(t *testing.T) {
	for schema, want := range map[string]string{
		``:                                       "not JSON: it ends too soon",
		`{"type"`:                                "not JSON",
		`{} 1`:                                   "something follows",
		`{"type": "null", "type": "null"}`:       `two members "type"`,
		`7`:                                      "#: 7 is no schema",
		`false`:                                  "false allows nothing",
		`{"type": "strin"}`:                      `#: type "strin" is unknown`,
		`{"type": []}`:                           "type is empty",
		`{"type": null}`:                         `type is null: want "null"`,
		`{"type": 1}`:                            "type is 1",
		`{"type": ["null", "null"]}`:             "each once",
		`{"not": {}}`:                            "#: not is not supported",
		`{"properties": {"a/b": {"if": 1}}}`:     "#/properties/a~1b: if is not supported",
		`{"if": {}, "then": false}`:              "#: if is not supported",
		`{"properties": 1}`:                      "properties is 1",
		`{"required": "a"}`:                      "required is",
		`{"required": [1]}`:                      "required has 1",
		`{"patternProperties": {"a": 1}}`:        "patternProperties is not supported",
		`{"type": "object", "minProperties": 2}`: "minProperties 2 is not supported without properties",
		`{"properties": {"a": true}, "minProperties": 1}`:                               "minProperties 1 is more than the 0 properties",
		`{"properties": {"a": true, "b": true}, "maxProperties": 1}`:                    "maxProperties 1 is less",
		`{"properties": {"a": true}, "required": ["b"], "additionalProperties": false}`: "#/additionalProperties: false allows nothing",
		`{"uniqueItems": true}`:                                  "uniqueItems is not supported",
		`{"minItems": 2, "maxItems": 1}`:                         "minItems is 2, and maxItems 1",
		`{"items": false, "minItems": 1}`:                        "no item is allowed",
		`{"prefixItems": [true], "items": false, "minItems": 2}`: "at most 1 items",
		`{"prefixItems": 1}`:                                     "want a list of schemas",
		`{"maxItems": 1.5}`:                                      "want a whole number from 0",
		`{"maxLength": 100001}`:                                  "want a whole number from 0 to 100000",
		`{"minLength": -1}`:                                      "want a whole number",
		`{"minLength": 3, "maxLength": 2}`:                       "minLength is 3, and maxLength 2",
		`{"pattern": "a", "maxLength": 3}`:                       "pattern beside minLength or maxLength",
		`{"pattern": 1}`:                                         "pattern is 1",
		`{"pattern": "("}`:                                       "missing closing",
		`{"pattern": "(?=a)"}`:                                   "(?=…) is not supported: a lookahead cannot be written",
		`{"pattern": "a\\b"}`:                                    `\b is not supported`,
		`{"pattern": "(^a)"}`:                                    "^ and $ are supported at its beginning and end only",
		`{"pattern": "[\\x00]"}`:                                 "control characters",
		`{"type": "string", "format": "date", "minLength": 1}`:   "format date beside",
		`{"minimum": "1"}`:                                       "minimum is",
		`{"type": "number", "minimum": 0.5}`:                     "are not whole",
		`{"type": "integer", "minimum": 0.1, "maximum": 0.9}`:    "no whole number lies within",
		`{"minimum": 2, "maximum": 1}`:                           "no number of at most 15 digits lies within",
		`{"minimum": 1e300}`:                                     "no number of at most 15 digits lies within",
		`{"exclusiveMinimum": true}`:                             "exclusiveMinimum is true",
		`{"multipleOf": 2}`:                                      "multipleOf is not supported",
		`{"type": "integer", "multipleOf": 2}`:                   "multipleOf is not supported",
		`{"enum": []}`:                                           "enum is []",
		`{"enum": [1], "type": "string"}`:                        "no value of enum or const",
		`{"enum": [1], "minimum": 2}`:                            "no value of enum or const is valid by what stands beside it",
		`{"const": 1, "enum": [2]}`:                              "const is no member of enum",
		`{"anyOf": {}}`:                                          "anyOf is {}",
		`{"anyOf": [{"type": "x"}]}`:                             `#/anyOf/0: type "x" is unknown`,
		`{"allOf": []}`:                                          "allOf is []",
		`{"allOf": [{"type": "string"}, {"type": "null"}]}`:      "type in several parts of allOf",
		`{"allOf": [{"pattern": "a"}, {"pattern": "b"}]}`:        "pattern in several parts",
		`{"allOf": [{"properties": {"a": true}, "additionalProperties": false}, {"properties": {"b": true}}]}`: `additionalProperties beside the property "b"`,
		`{"allOf": [false]}`: "no schema that allows something",
		`{"oneOf": [{"type": "integer"}, {"type": "number"}]}`:                  "a value may be valid by alternatives 0 and 1 of oneOf",
		`{"oneOf": [{"properties": {"a": true}}, {"properties": {"b": true}}]}`: "alternatives 0 and 1 of oneOf",
		`{"$ref": 1}`:                 "$ref is 1",
		`{"$ref": "http://x/y"}`:      "leads out of the schema",
		`{"$ref": "#/a"}`:             `$ref "#/a": there is no such schema`,
		`{"$ref": "#b"}`:              "there is no such schema",
		`{"$ref": "#/%zz"}`:           "invalid URL escape",
		`{"$ref": "#"}`:               "no text follows the grammar",
		`{"$ref": "#", "minimum": 1}`: "lead to themselves",
		`{"allOf": [{"$ref": "#"}]}`:  "lead to themselves",
		`{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}`: "no text follows the grammar",
		strings.Repeat(`{"items":`, 600) + `{}` + strings.Repeat(`}`, 600):          "more than 500 deep",
	} {
		_, err := Grammar([]byte(schema))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "jsonschema: ") {
			t.Errorf("%.100s: error %v, want one that says %q", schema, err, want)
		}
	}
}

// drawSchema draws a schema of what is supported.
func drawSchema(t *rapid.T, depth int) value {
	o := newObject()
	number := func(name string, lo, hi int) json.Number {
		return json.Number(strconv.Itoa(rapid.IntRange(lo, hi).Draw(t, name)))
	}
	maybe := func(name string) bool { return rapid.IntRange(0, 2).Draw(t, name) == 0 }
	kinds := []string{"integer", "number", "string", "null", "enum", "boolean", "true", "object", "array", "tuple", "anyOf", "ref"}
	if depth == 0 {
		kinds = kinds[:6]
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	switch kind {
	case "true":
		return true
	case "integer", "number":
		o.set("type", kind)
		lo := rapid.IntRange(-1200, 1200).Draw(t, "least")
		if maybe("has a least") {
			o.set(rapid.SampledFrom([]string{"minimum", "exclusiveMinimum"}).Draw(t, "key"), json.Number(strconv.Itoa(lo)))
		}
		if maybe("has a most") {
			o.set(rapid.SampledFrom([]string{"maximum", "exclusiveMaximum"}).Draw(t, "key"), json.Number(strconv.Itoa(lo+rapid.IntRange(2, 2000).Draw(t, "most"))))
		}
	case "string":
		o.set("type", kind)
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			o.set("minLength", number("least", 0, 3))
			o.set("maxLength", number("most", 3, 6))
		case 1:
			o.set("pattern", rapid.SampledFrom([]string{`^[^a]{2}$`, `^a+|b$`, `\\`, `^\w\d?\S$`, `["é]`}).Draw(t, "pattern"))
		case 2:
			o.set("format", rapid.SampledFrom([]string{"date", "time", "date-time", "uuid"}).Draw(t, "format"))
		}
	case "enum":
		o.set("enum", []value{json.Number("1"), "a\"\\", nil, []value{true}}[rapid.IntRange(0, 3).Draw(t, "from"):])
	case "object":
		o.set("type", kind)
		properties, required := newObject(), []value{}
		for range rapid.IntRange(0, 4).Draw(t, "properties") {
			name := rapid.SampledFrom([]string{"a", "ab", "b", "é", "\"", "", "abc", "z\n"}).Draw(t, "name")
			properties.set(name, drawSchema(t, depth-1))
			if maybe("required") && !slices.Contains(required, value(name)) {
				required = append(required, name)
			}
		}
		o.set("properties", properties)
		o.set("required", required)
		if maybe("additional") {
			o.set("additionalProperties", drawSchema(t, depth-1))
		}
	case "array":
		o.set("type", kind)
		o.set("items", drawSchema(t, depth-1))
		if maybe("counted") {
			o.set("minItems", number("least", 0, 2))
			o.set("maxItems", number("most", 2, 4))
		}
	case "tuple":
		o.set("prefixItems", []value{drawSchema(t, depth-1), drawSchema(t, depth-1)}[rapid.IntRange(0, 1).Draw(t, "from"):])
		if maybe("more") {
			o.set("items", drawSchema(t, depth-1))
		}
		if maybe("counted") {
			o.set("minItems", number("least", 0, 1))
			o.set("maxItems", number("most", 1, 4))
		}
	case "anyOf":
		o.set("anyOf", []value{drawSchema(t, depth-1), drawSchema(t, depth-1)})
	case "ref":
		o.set("$ref", "#/$defs/d")
	default:
		o.set("type", kind)
	}
	return o
}

func TestTextsWrittenForAnySchemaAreValid(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root := newObject()
		root.set("anyOf", []value{drawSchema(rt, 3)})
		defs := newObject()
		defs.set("d", drawSchema(rt, 1))
		if equal(defs.members["d"], refTo("#/$defs/d")) {
			return // nothing is a d
		}
		root.set("$defs", defs)
		text := compact(root)
		_, err := Grammar([]byte(text))
		if err != nil {
			if strings.Contains(err.Error(), "no text follows") {
				return // it contains itself without end
			}
			rt.Fatalf("%v\nin %s", err, text)
		}
		g, schema := follow(t, text), compileSchema(t, text)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range 3 {
			written, ok := grammartest.Write(g, r, 5000)
			if !ok {
				continue // a tree that grows
			}
			if err := validate(schema, written); err != nil {
				rt.Fatalf("%s: %v\nin %s", written, err, text)
			}
		}
	})
}

func refTo(pointer string) *object {
	o := newObject()
	o.set("$ref", pointer)
	return o
}

// libllama reads the same notation.
func TestLibllamaReadsTheGrammarsOfSchemas(t *testing.T) {
	v, err := oracle.OpenVocab("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, tc := range schemas {
		gbnf, err := Grammar([]byte(tc.schema))
		if err != nil {
			t.Fatal(err)
		}
		g, err := v.NewGrammar(gbnf)
		if err != nil {
			t.Errorf("%s: %v\nin\n%s", tc.name, err, gbnf)
			continue
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzSchema(f *testing.F) {
	for _, tc := range schemas {
		f.Add(tc.schema)
	}
	f.Fuzz(func(t *testing.T, schema string) {
		gbnf, err := Grammar([]byte(schema))
		if err != nil {
			return
		}
		if _, err := grammar.New(grammartest.Letters(), gbnf); err != nil && !errors.Is(err, grammar.ErrAmbiguous) {
			t.Fatalf("%v\nin\n%s", err, gbnf)
		}
	})
}

func TestAllFaultsOfASchemaAreReported(t *testing.T) {
	_, err := Grammar([]byte(`{"properties": {"a": {"type": "x"}, "b": {"not": {}}, "c": {"pattern": "("}}}`))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error %v, want three lines", err)
	}
}
