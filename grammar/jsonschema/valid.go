package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"
)

// validator decides whether a value is valid by a schema. The values that enum and const list are
// checked with it, so that the keywords beside them need no grammar.
type validator struct {
	c     *converter
	steps int // schemas and parts of patterns that were looked at
}

// maxSteps bounds what a validator does: references may fan out, and patterns read a text in many
// ways.
const maxSteps = 1_000_000

var errTooMuch = errors.New("deciding which values of enum are valid takes too long: want a simpler schema")

func (v *validator) step(depth int) error {
	if v.steps++; v.steps > maxSteps || depth > maxMergeDepth {
		return errTooMuch
	}
	return nil
}

// valid reports whether x is valid by schema.
func (v *validator) valid(schema, x value, path string, depth int) (bool, error) {
	if err := v.step(depth); err != nil {
		return false, err
	}
	s, ok := schema.(*object)
	if !ok {
		if all, isBool := schema.(bool); isBool {
			return all, nil
		}
		return false, fmt.Errorf("%.50s is no schema: want an object, true or false", compact(schema))
	}
	for _, key := range s.keys {
		ok, err := v.keyword(s, key, x, path, depth)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// keyword reports whether x is valid by one keyword of a schema.
func (v *validator) keyword(s *object, key string, x value, path string, depth int) (bool, error) {
	says := s.members[key]
	if v.steps += sizeOf(says); v.steps > maxSteps {
		return false, errTooMuch
	}
	if about := keywordTypes[key]; about != "" && about != typeOf(x) && (about != "number" || typeOf(x) != "integer") {
		return true, nil
	}
	switch key {
	case "type":
		types := v.c.types(s, path)
		return slices.Contains(types, typeOf(x)) || typeOf(x) == "integer" && slices.Contains(types, "number"), nil
	case "const":
		return equal(says, x), nil
	case "enum":
		list, _ := says.([]value)
		return slices.ContainsFunc(list, func(w value) bool { return equal(w, x) }), nil
	case "$ref":
		target := v.c.lookup(says, path)
		if target == nil {
			return false, nil // which was reported
		}
		return v.valid(target, x, path, depth+1)
	case "allOf", "anyOf", "oneOf":
		return v.several(key, says, x, path, depth)
	case "not":
		ok, err := v.valid(says, x, path, depth+1)
		return !ok, err
	case "minLength", "maxLength", "pattern":
		text, _ := x.(string)
		return v.text(s, key, text, path)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		return compare(key, says, x)
	case "minItems", "maxItems", "items", "prefixItems", "additionalItems", "uniqueItems":
		list, _ := x.([]value)
		return v.list(s, key, list, path, depth)
	case "minProperties", "maxProperties", "required", "properties", "additionalProperties":
		o, _ := x.(*object)
		return v.members(s, key, o, path, depth)
	}
	if name, fails := unsupported(s, key); fails {
		return false, fmt.Errorf("%s beside enum or const is not supported", name)
	}
	return true, nil
}

// sizeOf returns how many parts a value has.
func sizeOf(v value) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []value:
		return len(v)
	case *object:
		return len(v.keys)
	}
	return 1
}

// several decides allOf, anyOf and oneOf.
func (v *validator) several(key string, says, x value, path string, depth int) (bool, error) {
	parts, ok := says.([]value)
	if !ok || len(parts) == 0 || len(parts) > maxParts {
		return false, fmt.Errorf("%s is %.50s: want a list of 1 to %d schemas", key, compact(says), maxParts)
	}
	n := 0
	for _, part := range parts {
		ok, err := v.valid(part, x, path, depth+1)
		if err != nil {
			return false, err
		}
		if ok {
			n++
		}
	}
	switch key {
	case "allOf":
		return n == len(parts), nil
	case "anyOf":
		return n > 0, nil
	}
	return n == 1, nil
}

func (v *validator) text(s *object, key, text, path string) (bool, error) {
	length := utf8.RuneCountInString(text)
	switch key {
	case "minLength":
		return length >= v.c.count(s, key, path, 0), nil
	case "maxLength":
		return length <= v.c.count(s, key, path, 0), nil
	}
	pattern, ok := s.members[key].(string)
	if !ok {
		return false, fmt.Errorf("pattern is %.50s: want a text", compact(s.members[key]))
	}
	parsed, err := parseECMA(pattern)
	if err != nil {
		return false, fmt.Errorf("pattern %.100q: %w", pattern, err)
	}
	return v.matches(parsed, []rune(text))
}

// compare decides a bound of numbers.
func compare(key string, says, x value) (bool, error) {
	n, okN := says.(json.Number)
	m, okM := x.(json.Number)
	bound, errN := n.Float64()
	number, errM := m.Float64()
	if !okN || !okM || errN != nil || errM != nil {
		return false, fmt.Errorf("%s is %.50s: want a number", key, compact(says))
	}
	switch key {
	case "minimum":
		return number >= bound, nil
	case "maximum":
		return number <= bound, nil
	case "exclusiveMinimum":
		return number > bound, nil
	case "exclusiveMaximum":
		return number < bound, nil
	}
	if bound <= 0 || len(n) > 50 || len(m) > 50 || math.Abs(math.Log10(max(math.Abs(number), 1e-300)/bound)) > 300 {
		return false, fmt.Errorf("multipleOf is %.50s: want a positive number that is neither very large nor very small", compact(says))
	}
	a, okA := new(big.Rat).SetString(string(m))
	b, okB := new(big.Rat).SetString(string(n))
	return okA && okB && a.Quo(a, b).IsInt(), nil
}

func (v *validator) list(s *object, key string, list []value, path string, depth int) (bool, error) {
	prefix, isList := s.members["prefixItems"].([]value)
	itemsKey := "items"
	if old, ok := s.members["items"].([]value); ok && !isList { // as it was written until 2020
		prefix, itemsKey = old, "additionalItems"
	}
	from, schemas := 0, prefix
	switch key {
	case "minItems":
		return len(list) >= v.c.count(s, key, path, 0), nil
	case "maxItems":
		return len(list) <= v.c.count(s, key, path, 0), nil
	case "uniqueItems":
		for i := range list {
			if v.steps += i; v.steps > maxSteps {
				return false, errTooMuch
			}
			if s.members[key] == true && slices.ContainsFunc(list[:i], func(w value) bool { return equal(w, list[i]) }) {
				return false, nil
			}
		}
		return true, nil
	case itemsKey:
		from, schemas = len(prefix), nil
	case "additionalItems":
		return true, nil
	}
	for i := from; i < len(list) && (schemas == nil || i < len(schemas)); i++ {
		schema := s.members[itemsKey]
		if schemas != nil {
			schema = schemas[i]
		}
		if ok, err := v.valid(schema, list[i], path, depth+1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (v *validator) members(s *object, key string, o *object, path string, depth int) (bool, error) {
	described, _ := s.members["properties"].(*object)
	if described == nil {
		described = newObject()
	}
	switch key {
	case "minProperties":
		return len(o.keys) >= v.c.count(s, key, path, 0), nil
	case "maxProperties":
		return len(o.keys) <= v.c.count(s, key, path, 0), nil
	case "required":
		return !slices.ContainsFunc(v.c.required(s, path), func(name string) bool { return !o.has(name) }), nil
	}
	for _, name := range o.keys {
		schema, ok := described.get(name)
		if key == "additionalProperties" {
			schema, ok = s.members[key], !ok
		}
		if !ok {
			continue
		}
		if ok, err := v.valid(schema, o.members[name], path, depth+1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
