package chat

import (
	"encoding/json"
	"slices"
	"strings"
)

// parameterTypes returns the JSON types that each parameter in a schema of arguments may have, for those
// whose schemas say so. Whole numbers are numbers.
func parameterTypes(schema json.RawMessage) map[string][]string {
	r := typeReader{left: 10_000}
	if json.Unmarshal(schema, &r.root) != nil {
		return nil
	}
	types := map[string][]string{}
	for name, property := range object(member(r.root, "properties")) {
		if t := r.types(property, 0); t != nil {
			types[name] = t
		}
	}
	return types
}

// typeReader reads types from the parts of a schema.
type typeReader struct {
	root any
	left int // parts that may still be read: references may fan out
}

// types returns the types of the values that are valid by a part, nil if it does not say so.
func (r *typeReader) types(part any, depth int) []string {
	if r.left--; r.left < 0 || depth > 100 {
		return nil
	}
	s := object(part)
	if ref, ok := s["$ref"].(string); ok {
		return r.types(r.resolve(ref), depth+1)
	}
	if v, ok := s["const"]; ok {
		return []string{jsonType(v)}
	}
	if list, ok := s["enum"].([]any); ok {
		return union(list, func(v any) []string { return []string{jsonType(v)} })
	}
	switch t := s["type"].(type) {
	case string:
		return []string{typeName(t)}
	case []any:
		return union(t, func(v any) []string {
			name, _ := v.(string)
			return []string{typeName(name)}
		})
	}
	of := func(part any) []string { return r.types(part, depth+1) }
	for _, key := range []string{"anyOf", "oneOf"} {
		if parts, ok := s[key].([]any); ok {
			return union(parts, of)
		}
	}
	parts, _ := s["allOf"].([]any)
	for _, part := range parts {
		if t := of(part); t != nil {
			return t
		}
	}
	return nil
}

// union returns the types of all items, nil if an item does not say which it has.
func union(items []any, of func(any) []string) (types []string) {
	for _, item := range items {
		found := of(item)
		if found == nil {
			return nil
		}
		for _, name := range found {
			if !slices.Contains(types, name) {
				types = append(types, name)
			}
		}
	}
	return types
}

func typeName(name string) string {
	if name == "integer" {
		return "number"
	}
	return name
}

// resolve returns the part that a reference leads to; nil if there is none.
func (r *typeReader) resolve(ref string) any {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil
	}
	at := r.root
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if part != "" {
			at = member(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
		}
	}
	return at
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func member(v any, name string) any { return object(v)[name] }

// jsonType returns the type of a value in the words of JSON schemas.
func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// typeOf returns the type of a JSON text, "" if it is none.
func typeOf(text string) string {
	if !json.Valid([]byte(text)) {
		return ""
	}
	switch strings.TrimSpace(text)[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}
