package jsonschema

import (
	"net/url"
	"strconv"
	"strings"
)

// lookup returns the schema that a $ref names, nil where it is not there.
func (c *converter) lookup(ref value, path string) value {
	name, ok := ref.(string)
	if !ok {
		c.fail(path, "$ref is %.50s: want a text", compact(ref))
		return nil
	}
	pointer, local := strings.CutPrefix(name, "#")
	if !local {
		c.fail(path, "$ref %.100q leads out of the schema: want one that begins with #", name)
		return nil
	}
	pointer, err := url.PathUnescape(pointer)
	if err != nil {
		c.fail(path, "$ref %.100q: %w", name, err)
		return nil
	}
	at := c.root
	switch {
	case pointer == "":
	case pointer[0] != '/':
		at = c.anchors[pointer]
	default:
		for part := range strings.SplitSeq(pointer[1:], "/") {
			at = member(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
		}
	}
	switch at.(type) {
	case *object, bool:
		return at
	}
	c.fail(path, "$ref %.100q: there is no such schema", name)
	return nil
}

func member(v value, name string) value {
	switch v := v.(type) {
	case *object:
		return v.members[name]
	case []value:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// findAnchors notes all schemas that have a name by themselves.
func findAnchors(v value, anchors map[string]value) {
	switch v := v.(type) {
	case *object:
		if name, ok := v.members["$anchor"].(string); ok {
			anchors[name] = v
		}
		for _, key := range v.keys {
			findAnchors(v.members[key], anchors)
		}
	case []value:
		for _, item := range v {
			findAnchors(item, anchors)
		}
	}
}
