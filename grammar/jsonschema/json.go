package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// value is a JSON value: nil, bool, string, json.Number, []value, or *object.
type value any

// object is a JSON object whose members stay in the order of the text.
type object struct {
	keys    []string
	members map[string]value
}

func newObject() *object { return &object{members: map[string]value{}} }

func (o *object) get(key string) (value, bool) {
	v, ok := o.members[key]
	return v, ok
}

func (o *object) set(key string, v value) {
	if _, ok := o.members[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.members[key] = v
}

// maxDepth is how deep the values of a schema may lie in each other.
const maxDepth = 500

// readJSON reads one JSON value. Two members of an object with the same name are an error, since
// either could be meant.
func readJSON(data []byte) (value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too soon")
		}
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not JSON: something follows the value")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("values lie more than %d deep in each other", maxDepth)
	}
	switch token {
	case json.Delim('['):
		list := []value{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		o := newObject()
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, ok := name.(string)
			if _, twice := o.get(key); !ok || twice {
				return nil, fmt.Errorf("there are two members %.100q in one object", key)
			}
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(key, v)
		}
		_, err := d.Token()
		return o, err
	}
	return token, nil
}

// compact returns v as JSON without blanks.
func compact(v value) string {
	var b strings.Builder
	writeJSON(&b, v)
	return b.String()
}

func writeJSON(b *strings.Builder, v value) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(v.String())
	case string:
		b.WriteString(jsonString(v))
	case []value:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	case *object:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(jsonString(key))
			b.WriteByte(':')
			writeJSON(b, v.members[key])
		}
		b.WriteByte('}')
	}
}

// jsonString returns s as a JSON string.
func jsonString(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // strings can be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// equal reports whether two values are the same, whatever the order of their members. Numbers are
// compared by value.
func equal(a, b value) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	case []value:
		b, ok := b.([]value)
		return ok && slices.EqualFunc(a, b, equal)
	case *object:
		b, ok := b.(*object)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for _, key := range a.keys {
			if other, ok := b.get(key); !ok || !equal(a.members[key], other) {
				return false
			}
		}
		return true
	}
	return a == b
}

func sameNumber(a, b json.Number) bool {
	x, errX := a.Float64()
	y, errY := b.Float64()
	return a == b || errX == nil && errY == nil && x == y
}

// typeOf returns the name of v's type in a JSON schema.
func typeOf(v value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if x, err := v.Float64(); err == nil && x == float64(int64(x)) {
			return "integer"
		}
		return "number"
	case []value:
		return "array"
	}
	return "object"
}
