package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/grammar"
)

// Grammar returns a grammar in GBNF, for [grammar.New], of JSON texts that are valid by a JSON
// schema (draft 2020-12, and what draft 7 has of it). It reports everything in the schema that it
// cannot do, with the place of each.
//
// The supported keywords are type, enum, const, $ref within the schema, $defs, anyOf, oneOf of
// alternatives that exclude each other, allOf; properties, required, additionalProperties,
// minProperties, maxProperties; items, prefixItems, minItems, maxItems; minLength, maxLength,
// pattern (a regular expression of ECMA-262), and the formats date, time, date-time and uuid;
// minimum, maximum and the exclusive ones. Beside enum or const, which list the values, not and
// multipleOf are supported too. Other formats and keywords that the standard does not have say
// nothing about what is valid. All other keywords of the standard are errors where they say
// something.
//
// Every text is valid, but not every valid text can be written: members come in the order of the
// schema, and others only where additionalProperties asks for them; a schema without type has the
// types that its keywords are about; numbers have at most 15 digits before and after the point.
func Grammar(schema []byte) (gbnf string, err error) {
	if len(schema) > grammar.MaxText {
		return "", fmt.Errorf("jsonschema: the schema has %d bytes: want at most %d", len(schema), grammar.MaxText)
	}
	root, err := readJSON(schema)
	if err != nil {
		return "", fmt.Errorf("jsonschema: %w", err)
	}
	c := newConverter()
	c.begin(root)
	c.add("root", c.schema(root, "#"))
	if err := errors.Join(c.errs...); err != nil {
		return "", err
	}
	gbnf = c.allRules()
	if err := grammar.Check(gbnf); err != nil {
		return "", fmt.Errorf("jsonschema: %w", err)
	}
	return gbnf, nil
}

// converter writes a rule for each schema object.
type converter struct {
	root     value
	spelling Spelling // of the values that are being written
	names    map[string]bool
	done     map[spelt]string // names of rules
	builtins map[string]bool  // that are used
	own      map[ownRule]string
	anchors  map[string]value
	rules    []string
	size     int // of rules
	depth    int // of the schema that is being written, in others
	merges   int
	errs     []error
}

// spelt is a schema in a spelling.
type spelt struct {
	schema   *object
	spelling Spelling
}

func newConverter() *converter {
	c := &converter{
		names: map[string]bool{"root": true}, done: map[spelt]string{}, builtins: map[string]bool{}, own: map[ownRule]string{},
	}
	for name := range builtins {
		c.names[name] = true
	}
	return c
}

// begin begins with a schema.
func (c *converter) begin(root value) {
	c.root, c.anchors, c.merges = root, map[string]value{}, 0
	findAnchors(root, c.anchors)
}

// maxParts is how many schemas anyOf, oneOf and allOf may have, which are compared with each other.
const maxParts = 1000

// maxErrors is how many faults are reported: enough to read.
const maxErrors = 20

// maxPlace is how many bytes of the place of a fault are told: its end, where it is long.
const maxPlace = 200

// maxSchemaDepth is how deep schemas may lie in each other, by references also deeper than values in a text.
const maxSchemaDepth = 2000

func (c *converter) fail(path, format string, args ...any) string {
	if len(c.errs) < maxErrors {
		if len(path) > maxPlace {
			path = "…" + strings.ToValidUTF8(path[len(path)-maxPlace:], "")
		}
		c.errs = append(c.errs, fmt.Errorf("jsonschema: %s: %w", path, fmt.Errorf(format, args...)))
	}
	return `""`
}

func (c *converter) add(name, expr string) {
	c.rules = append(c.rules, name+" ::= "+expr)
	before := c.size
	if c.size += len(name) + len(expr); c.size > grammar.MaxText && before <= grammar.MaxText {
		c.fail("#", "the grammar becomes longer than %d bytes: want a smaller schema", grammar.MaxText)
	}
}

// full reports whether there is no use in going on.
func (c *converter) full() bool { return c.size > grammar.MaxText || len(c.errs) >= maxErrors }

// allRules returns all rules: each one before the rules that it calls, and the built-in rules last.
func (c *converter) allRules() string {
	rules := slices.Clone(c.rules)
	slices.Reverse(rules) // root first
	for _, name := range slices.Sorted(maps.Keys(c.builtins)) {
		rules = append(rules, name+" ::= "+builtins[name].expr)
	}
	return strings.Join(rules, "\n") + "\n"
}

// builtins are rules that schemas share.
var builtins = map[string]struct {
	expr  string
	needs []string
}{
	"ws":      {expr: `"" | " " | "\n" [ \t]{0,20}`},
	"value":   {`object | array | string | number | boolean | null`, []string{"object", "array", "string", "number", "boolean", "null"}},
	"object":  {`"{" ws (string ":" ws value ("," ws string ":" ws value)* ws)? "}"`, []string{"ws", "string", "value"}},
	"array":   {`"[" ws (value ("," ws value)* ws)? "]"`, []string{"ws", "value"}},
	"string":  {`"\"" char* "\""`, []string{"char"}},
	"char":    {`plain | "\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex{3} | [dD] [0-7] hex{2}))`, []string{"plain", "hex"}},
	"plain":   {expr: `[^"\\\x00-\x1F\x7F]`},
	"hex":     {expr: `[0-9a-fA-F]`},
	"number":  {`"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?`, nil},
	"integer": {expr: `"0" | "-"? [1-9] [0-9]{0,14}`},
	"boolean": {expr: `"true" | "false"`},
	"null":    {expr: `"null"`},

	// RFC 3339, but for leap seconds and the 29th of February; RFC 4122.
	"date": {`"\"" full-date "\""`, []string{"full-date"}},
	"full-date": {expr: `[0-9]{4} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])` +
		` | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))`},
	"time":      {`"\"" full-time "\""`, []string{"full-time"}},
	"full-time": {`hour ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [-+] hour ":" [0-5] [0-9])`, []string{"hour"}},
	"hour":      {expr: `[01] [0-9] | "2" [0-3]`},
	"date-time": {`"\"" full-date "T" full-time "\""`, []string{"full-date", "full-time"}},
	"uuid":      {`"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""`, []string{"hex"}},
}

// builtin notes that a rule of the library is used, and returns its name.
func (c *converter) builtin(name string) string {
	if own := c.ownRule(name); own != "" {
		return own
	}
	if !c.builtins[name] {
		c.builtins[name] = true
		for _, n := range builtins[name].needs {
			c.builtin(n)
		}
	}
	return name
}

// unique returns a name for a rule, made of the place of its schema.
func (c *converter) unique(path string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "#"), "/") {
		switch part {
		case "", "properties", "$defs", "definitions", "items", "anyOf", "oneOf", "allOf":
			continue
		}
		part = strings.Map(func(r rune) rune {
			if isNameRune(r) {
				return r
			}
			return '-'
		}, part)
		parts = append(parts, part[:min(len(part), 30)])
	}
	name := strings.Join(parts[max(len(parts)-3, 0):], "-")
	if name == "" {
		name = "part"
	}
	if unused := !c.names[name]; unused {
		c.names[name] = true
		return name
	}
	for n := len(c.names); ; n++ {
		if numbered := name + "-" + strconv.Itoa(n); !c.names[numbered] {
			c.names[numbered] = true
			return numbered
		}
	}
}

// isNameRune reports whether the name of a rule may have r.
func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-'
}

// schema returns the name of a rule for the values that are valid by s.
func (c *converter) schema(s value, path string) string {
	switch s := s.(type) {
	case bool:
		if s {
			return c.builtin("value")
		}
		return c.fail(path, "false allows nothing: want a schema that allows something")
	case *object:
		if name, ok := c.done[spelt{s, c.spelling}]; ok {
			return name
		}
		if c.depth == maxSchemaDepth {
			return c.fail(path, "schemas lie more than %d deep in each other: want references that do not grow", maxSchemaDepth)
		}
		name := c.unique(path)
		c.done[spelt{s, c.spelling}] = name
		if !c.full() {
			c.depth++
			c.add(name, c.body(s, path))
			c.depth--
		}
		return name
	}
	return c.fail(path, "%.50s is no schema: want an object, true or false", compact(s))
}

// body returns an expression for the values that are valid by a schema object.
func (c *converter) body(s *object, path string) string {
	if s.has("const") || s.has("enum") {
		return c.values(s, path)
	}
	c.check(s, path)
	switch {
	case s.has("$ref"):
		rest, target := s.without("$ref"), c.lookup(s.members["$ref"], path)
		if target == nil || !rest.constrains() {
			return c.schemaOr(target, refPath(s))
		}
		return c.merged(path, rest, target)
	case s.has("allOf"):
		parts, ok := s.members["allOf"].([]value)
		if !ok || len(parts) == 0 || len(parts) > maxParts {
			return c.fail(path, "allOf is %.50s: want a list of 1 to %d schemas", compact(s.members["allOf"]), maxParts)
		}
		return c.merged(path, append([]value{s.without("allOf")}, parts...)...)
	case s.has("anyOf"):
		return c.alternatives(s, "anyOf", path)
	case s.has("oneOf"):
		return c.alternatives(s, "oneOf", path)
	}
	types := c.types(s, path)
	if len(types) == 0 {
		return c.builtin("value")
	}
	var exprs []string
	for _, t := range types {
		exprs = append(exprs, c.ofType(t, s, path))
	}
	return strings.Join(exprs, " | ")
}

// schemaOr is schema for a target that may not be there: that was reported.
func (c *converter) schemaOr(target value, path string) string {
	if target == nil {
		return `""`
	}
	return c.schema(target, path)
}

func refPath(s *object) string {
	ref, _ := s.members["$ref"].(string)
	return ref
}

func (c *converter) ofType(name string, s *object, path string) string {
	switch name {
	case "object":
		return c.object(s, path)
	case "array":
		return c.array(s, path)
	case "string":
		return c.string(s, path)
	case "integer":
		return c.integer(s, path)
	case "number":
		return c.number(s, path)
	case "boolean", "null":
		return c.builtin(name)
	}
	return c.fail(path, "type %q is unknown: want null, boolean, integer, number, string, array or object", name)
}

// keywordTypes are the supported keywords, each with the type that it restricts; "" is any.
var keywordTypes = map[string]string{
	"type": "", "enum": "", "const": "", "$ref": "", "anyOf": "", "oneOf": "", "allOf": "",
	"properties": "object", "required": "object", "additionalProperties": "object", "minProperties": "object", "maxProperties": "object",
	"items": "array", "prefixItems": "array", "additionalItems": "array", "minItems": "array", "maxItems": "array", "uniqueItems": "array",
	"minLength": "string", "maxLength": "string", "pattern": "string", "format": "string",
	"minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number", "multipleOf": "number",
}

// check reports keywords that restrict what is valid and that a grammar cannot express.
func (c *converter) check(s *object, path string) {
	for _, key := range s.keys {
		if name, fails := unsupported(s, key); fails {
			c.fail(path, "%s is not supported", name)
		}
	}
}

// isKeyword reports whether a member of a schema may restrict what is valid. All others are
// annotations, by the standard.
func isKeyword(key string) bool {
	_, known := keywordTypes[key]
	_, refused := refusedTypes[key]
	return known || refused
}

// refusedTypes are the keywords of the standard that are not supported, with the type that they are
// about; "" is any.
var refusedTypes = map[string]string{
	"not": "", "if": "", "then": "", "else": "", "$dynamicRef": "", "$recursiveRef": "",
	"patternProperties": "object", "propertyNames": "object", "dependentRequired": "object", "dependentSchemas": "object",
	"dependencies": "object", "unevaluatedProperties": "object",
	"contains": "array", "minContains": "array", "maxContains": "array", "unevaluatedItems": "array",
}

// unsupported reports whether a member of s is a keyword that is not supported and that restricts
// what is valid: with the other members beside it, it may say nothing.
func unsupported(s *object, key string) (name string, fails bool) {
	about, refused := refusedTypes[key]
	if !refused {
		return "", false
	}
	if types := typeList(s.members["type"]); about != "" && types != nil && !slices.Contains(types, about) {
		return "", false
	}
	says := s.members[key]
	o, isObject := says.(*object)
	empty := isObject && len(o.keys) == 0
	switch key {
	case "not":
		return key, says != false
	case "if":
		return key, s.has("then") || s.has("else") || says != true && says != false && !isObject
	case "then", "else":
		return key, s.has("if")
	case "minContains", "maxContains":
		return key, s.has("contains")
	case "propertyNames": // names are texts
		asText := isObject && len(o.keys) == 1 && o.members["type"] == "string"
		return key, says != true && !empty && !asText
	case "unevaluatedProperties", "unevaluatedItems":
		return key, says != true && !empty
	case "patternProperties", "dependentRequired", "dependentSchemas", "dependencies":
		return key, !empty
	}
	return key, true
}

func (o *object) has(key string) bool {
	_, ok := o.members[key]
	return ok
}

// without returns o but for one member.
func (o *object) without(key string) *object {
	rest := newObject()
	for _, k := range o.keys {
		if k != key {
			rest.set(k, o.members[k])
		}
	}
	return rest
}

// constrains reports whether a schema restricts what is valid.
func (o *object) constrains() bool {
	return slices.ContainsFunc(o.keys, isKeyword)
}

// types returns the types that a schema allows, none for any.
func (c *converter) types(s *object, path string) []string {
	switch t := s.members["type"].(type) {
	case string:
		return []string{t}
	case []value:
		var types []string
		for _, item := range t[:min(len(t), maxErrors)] {
			name, ok := item.(string)
			if !ok || slices.Contains(types, name) {
				c.fail(path, "type has %.50s: want names of types, each once", compact(item))
				continue
			}
			types = append(types, name)
		}
		if len(types) == 0 {
			c.fail(path, "type is empty: want at least one type")
		}
		return types
	case nil:
		if s.has("type") {
			c.fail(path, `type is null: want "null"`)
		}
	default:
		c.fail(path, "type is %.50s: want the name of a type, or a list of names", compact(t))
	}
	var types []string
	for _, key := range s.keys {
		if t := keywordTypes[key]; t != "" && key != "format" && !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// alternatives returns an expression for anyOf or oneOf. The keywords beside it are merged into
// each part.
func (c *converter) alternatives(s *object, key, path string) string {
	parts, ok := s.members[key].([]value)
	if !ok || len(parts) == 0 || len(parts) > maxParts {
		return c.fail(path, "%s is %.50s: want a list of 1 to %d schemas", key, compact(s.members[key]), maxParts)
	}
	rest, parts := s.without(key), slices.Clone(parts)
	if key == "oneOf" {
		rest = withTag(rest)
	}
	var exprs []string
	for i, part := range parts {
		at := fmt.Sprintf("%s/%s/%d", path, key, i)
		if rest.constrains() {
			m, ok := c.merge(at, 0, rest, part)
			if !ok {
				continue
			}
			part, parts[i] = m, m
		}
		exprs = append(exprs, c.schema(part, at))
	}
	if key == "oneOf" {
		c.checkDisjoint(parts, path)
	}
	return strings.Join(exprs, " | ")
}

// withTag returns a schema that requires the property by which the alternatives beside it are told
// apart, if it names one: discriminator of OpenAPI is an annotation, and every text with the
// property is as valid as without it.
func withTag(s *object) *object {
	discriminator, _ := s.members["discriminator"].(*object)
	if discriminator == nil {
		return s
	}
	name, ok := discriminator.members["propertyName"].(string)
	required, isList := s.members["required"].([]value)
	if !ok || s.has("required") && !isList {
		return s
	}
	s = s.without("required")
	s.set("required", append(slices.Clone(required), name))
	return s
}

// count returns the whole number that a keyword has, or otherwise where it is not there.
func (c *converter) count(s *object, key, path string, otherwise int) int {
	v, ok := s.get(key)
	if !ok {
		return otherwise
	}
	n, ok := v.(json.Number)
	if ok {
		if x, err := n.Float64(); err == nil && x >= 0 && x <= grammar.MaxRepeat && x == float64(int(x)) {
			return int(x)
		}
	}
	c.fail(path, "%s is %.50s: want a whole number from 0 to %d", key, compact(v), grammar.MaxRepeat)
	return otherwise
}
