package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FromJSON returns the value that a JSON text stands for, as Python's json.loads does: objects keep
// their order, and integers are of any size.
func FromJSON(data []byte) (v Value, err error) {
	defer recovered(&err, func() int { return 0 })
	if !utf8.Valid(data) {
		return nil, errors.New("JSON is not UTF-8")
	}
	if hasHalfPair(data) {
		return nil, errors.New("JSON has half of a surrogate pair, which is not a character")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if v, err = decode(d); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("JSON has something behind its end")
	}
	return v, nil
}

// hasHalfPair reports whether an escape of the JSON text is a surrogate without the other one.
// Python makes a string of it that cannot be printed.
func hasHalfPair(data []byte) bool {
	unit := func(i int) uint64 {
		if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(data[i+2:i+6]), 16, 16)
		return n
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		switch n := unit(i); {
		case 0xd800 <= n && n < 0xdc00 && 0xdc00 <= unit(i+6) && unit(i+6) < 0xe000:
			i += 11
		case 0xd800 <= n && n < 0xe000:
			return true
		default:
			i++
		}
	}
	return false
}

func decode(d *json.Decoder) (Value, error) {
	t, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if !strings.ContainsAny(string(t), ".eE") {
			i, ok := new(big.Int).SetString(string(t), 10)
			if !ok || len(t) > maxDigits {
				return nil, fmt.Errorf("JSON has a number of more than %d digits", maxDigits)
			}
			return normal(i), nil
		}
		f, _ := parseFloat(string(t)) // infinite, as in Python, if it is too large
		return f, nil
	case json.Delim:
		if t == '[' {
			list := NewList()
			for d.More() {
				v, err := decode(d)
				if err != nil {
					return nil, err
				}
				list.items = append(list.items, v)
			}
			_, err := d.Token()
			return list, err
		}
		dict := NewDict()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			dict.set(key.(string), v)
		}
		_, err := d.Token()
		return dict, err
	default:
		return t, nil
	}
}

// Map returns the values of the dict by key. Keys that are not strings are left out.
func (d *Dict) Map() map[string]Value {
	out := make(map[string]Value, len(d.keys))
	for i, key := range d.keys {
		if s, ok := key.(string); ok {
			out[s] = d.values[i]
		}
	}
	return out
}

// jsonWriter writes as Python's json.dumps does.
type jsonWriter struct {
	*builder
	r         *renderer
	ascii     bool
	sortKeys  bool
	indent    *string
	item, key string // separators
}

// toJSON is transformers' filter tojson.
func (r *renderer) toJSON(v, ascii, indent, separators, sortKeys Value) Value {
	w := &jsonWriter{builder: &builder{m: &r.meter}, r: r, ascii: truth(ascii), sortKeys: truth(sortKeys), item: ", ", key: ": "}
	switch i := indent.(type) {
	case nil:
	case string:
		w.indent = &i
	default:
		s := r.repeat(" ", integer("tojson", i))
		w.indent = &s
	}
	if w.indent != nil {
		w.item = ","
	}
	if separators != nil {
		s := sequence(separators)
		if s == nil || len(*s) != 2 {
			fail("ValueError", "separators must be a pair")
		}
		w.item, w.key = str("tojson", (*s)[0]), str("tojson", (*s)[1])
	}
	w.value(v, 0)
	return w.String()
}

func (w *jsonWriter) line(depth int) {
	if w.indent != nil {
		w.char('\n')
		w.r.tick(depth)
		for range depth {
			w.str(*w.indent)
		}
	}
}

func (w *jsonWriter) value(v Value, depth int) {
	w.r.enter()
	defer w.r.leave()
	switch v := v.(type) {
	case nil:
		w.str("null")
	case bool:
		w.str(map[bool]string{true: "true", false: "false"}[v])
	case int64, *big.Int:
		w.str(formatInt(v))
	case float64:
		w.str(jsonFloat(v))
	case string:
		w.string(v)
	case markup:
		w.string(string(v))
	case *List:
		w.list(v.items, depth)
	case *tuple:
		w.list(v.items, depth)
	case *Dict:
		w.dict(v, depth)
	default:
		fail("TypeError", "Object of type %s is not JSON serializable", typeName(v))
	}
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return formatFloat(f)
}

func (w *jsonWriter) list(items []Value, depth int) {
	if len(items) == 0 {
		w.str("[]")
		return
	}
	w.char('[')
	for i, item := range items {
		if i > 0 {
			w.str(w.item)
		}
		w.line(depth + 1)
		w.value(item, depth+1)
	}
	w.line(depth)
	w.char(']')
}

func (w *jsonWriter) dict(d *Dict, depth int) {
	if len(d.keys) == 0 {
		w.str("{}")
		return
	}
	order := make([]int, len(d.keys))
	for i := range order {
		order[i] = i
	}
	if w.sortKeys {
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case w.r.less(d.keys[a], d.keys[b]):
				return -1
			case w.r.less(d.keys[b], d.keys[a]):
				return 1
			}
			return 0
		})
	}
	w.char('{')
	for n, i := range order {
		if n > 0 {
			w.str(w.item)
		}
		w.line(depth + 1)
		switch key := d.keys[i].(type) {
		case string:
			w.string(key)
		case markup:
			w.string(string(key))
		case nil:
			w.string("null")
		case bool:
			w.string(map[bool]string{true: "true", false: "false"}[key])
		case float64:
			w.string(jsonFloat(key))
		case int64, *big.Int:
			w.string(formatInt(key))
		default:
			fail("TypeError", "keys must be str, int, float, bool or None, not %s", typeName(key))
		}
		w.str(w.key)
		w.value(d.values[i], depth+1)
	}
	w.line(depth)
	w.char('}')
}

func (w *jsonWriter) string(s string) {
	w.r.take(len(s) + 2)
	w.b.WriteByte('"')
	for _, c := range s {
		switch c {
		case '"', '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(c)
		case '\b':
			w.b.WriteString(`\b`)
		case '\f':
			w.b.WriteString(`\f`)
		case '\n':
			w.b.WriteString(`\n`)
		case '\r':
			w.b.WriteString(`\r`)
		case '\t':
			w.b.WriteString(`\t`)
		default:
			switch {
			case c < ' ' || w.ascii && 0x7f <= c && c < 0x10000:
				w.str(`\u` + hex(c, 4))
			case w.ascii && c >= 0x10000:
				c -= 0x10000
				w.str(`\u` + hex(0xd800+c>>10, 4) + `\u` + hex(0xdc00+c&0x3ff, 4))
			default:
				w.b.WriteRune(c)
			}
		}
	}
	w.b.WriteByte('"')
}
