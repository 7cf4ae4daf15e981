package jinja

import (
	"math"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Value is a value of a template: nil for none, a bool, an int64, a *big.Int outside its range, a
// float64, a string, a [*List], a [*Dict], or one of the kinds that only templates make.
type Value any

// List is a list.
type List struct{ items []Value }

// NewList returns a list of the values.
func NewList(values ...Value) *List { return &List{values} }

// Dict is a dict. Its keys are in the order in which they were added.
type Dict struct {
	keys   []Value
	values []Value
	index  map[any]int
}

// NewDict returns an empty dict.
func NewDict() *Dict { return &Dict{index: map[any]int{}} }

// Set sets the value of a key.
func (d *Dict) Set(key string, v Value) { d.set(key, v) }

func (d *Dict) set(key, v Value) {
	h := hashOf(key)
	if i, ok := d.index[h]; ok {
		d.values[i] = v
		return
	}
	d.index[h] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, v)
}

func (d *Dict) get(key Value) (Value, bool) {
	i, ok := d.index[hashOf(key)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

type (
	tuple struct {
		items []Value
		group bool // of groupby: its items have names
	}

	// markup is a string that escaping has been done for.
	markup string

	undefined struct {
		text string // of the error that its use is
		kind string
	}

	// view is what the methods keys, values and items of a dict return.
	view struct {
		dict *Dict
		of   string // "keys", "values" or "items"
	}

	rangeValue struct{ start, stop, step, length int }

	namespace struct{ dict *Dict }

	// function is a function or method of Python.
	function struct {
		name string
		call func(r *renderer, args []Value, keywords []argument) Value
	}

	// iterator is a generator, or what reversed returns: it can be gone through once.
	iterator struct {
		next func() (Value, bool)
		kind string
	}

	cycler struct {
		items []Value
		at    int
	}

	joiner struct {
		separator Value
		used      bool
	}

	// templateRef is the variable self.
	templateRef struct{}
)

// argument is a keyword argument of a call.
type argument struct {
	name  string
	value Value
}

// missing stands for an argument that a call does not have.
var missing = new(struct{ _ int })

// typeName is the name of Python's type.
func typeName(v Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case *List:
		return "list"
	case *tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *view:
		return "dict_" + v.of
	case *rangeValue:
		return "range"
	case *undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	case *macro:
		return "Macro"
	case *loopValue:
		return "LoopContext"
	case *iterator:
		return v.kind
	case *cycler:
		return "Cycler"
	case *joiner:
		return "Joiner"
	case *templateRef:
		return "TemplateReference"
	default:
		return "function"
	}
}

// use fails if v is undefined.
func use(v Value) Value {
	if u, ok := v.(*undefined); ok {
		fail(u.kind, "%s", u.text)
	}
	return v
}

func undefinedName(name string) *undefined {
	return &undefined{reprString(name) + " is undefined", "UndefinedError"}
}

// truth is Python's bool(v).
func truth(v Value) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case markup:
		return v != ""
	case *List:
		return len(v.items) > 0
	case *tuple:
		return len(v.items) > 0
	case *Dict:
		return len(v.keys) > 0
	case *view:
		return len(v.dict.keys) > 0
	case *rangeValue:
		return v.length > 0
	default:
		return true
	}
}

// text is v if it is a string, of either kind.
func text(v Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case markup:
		return string(v), true
	}
	return "", false
}

// runeCount is the length of a string as Python counts it.
func runeCount(s string) int { return utf8.RuneCountInString(s) }

// length is Python's len(v), and whether v has one.
func length(v Value) (int, bool) {
	switch v := v.(type) {
	case string:
		return runeCount(v), true
	case markup:
		return runeCount(string(v)), true
	case *List:
		return len(v.items), true
	case *tuple:
		return len(v.items), true
	case *Dict:
		return len(v.keys), true
	case *view:
		return len(v.dict.keys), true
	case *rangeValue:
		return v.length, true
	case *loopValue:
		return v.length(), true
	case *undefined:
		return 0, true
	}
	return 0, false
}

// iterate is Python's iter(v). ok is false if v cannot be iterated over.
func iterate(v Value) (next func() (Value, bool), ok bool) {
	over := func(n int, at func(int) Value) (func() (Value, bool), bool) {
		i := 0
		return func() (Value, bool) {
			if i == n {
				return nil, false
			}
			i++
			return at(i - 1), true
		}, true
	}
	switch v := v.(type) {
	case *undefined:
		return over(0, nil)
	case *List:
		return over(len(v.items), func(i int) Value { return v.items[i] })
	case *tuple:
		return over(len(v.items), func(i int) Value { return v.items[i] })
	case *Dict:
		return over(len(v.keys), func(i int) Value { return v.keys[i] })
	case *view:
		return over(len(v.dict.keys), v.at)
	case *rangeValue:
		return over(v.length, func(i int) Value { return int64(v.start + i*v.step) })
	case *iterator:
		return v.next, true
	case string:
		return func() (Value, bool) {
			if v == "" {
				return nil, false
			}
			_, n := utf8.DecodeRuneInString(v)
			c := v[:n]
			v = v[n:]
			return c, true
		}, true
	case markup:
		unsupported("iterating over an escaped string")
	case *loopValue:
		unsupported("iterating over loop")
	}
	return nil, false
}

func (v *view) at(i int) Value {
	switch v.of {
	case "keys":
		return v.dict.keys[i]
	case "values":
		return v.dict.values[i]
	default:
		return &tuple{items: []Value{v.dict.keys[i], v.dict.values[i]}}
	}
}

// iter is iterate, or Python's error.
func iter(v Value) func() (Value, bool) {
	next, ok := iterate(v)
	if !ok {
		fail("TypeError", "'%s' object is not iterable", typeName(v))
	}
	return next
}

// items is Python's list(v).
func (m *meter) items(v Value) []Value {
	var items []Value
	next := iter(v)
	for {
		item, ok := next()
		if !ok {
			return items
		}
		m.take(valueBytes)
		items = append(items, item)
	}
}

type (
	bigKey       string
	tupleKey     string
	undefinedKey struct{}
	noneKey      struct{}
)

// hashOf is a key of a map that stands for v: two that Python calls equal have the same one.
func hashOf(v Value) any {
	switch v := v.(type) {
	case nil:
		return noneKey{}
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case int64:
		return v
	case *big.Int:
		return bigKey(v.String())
	case float64:
		switch {
		case math.IsNaN(v):
			unsupported("nan as the key of a dict")
		case v == math.Trunc(v) && v >= -0x1p63 && v < 0x1p63:
			return int64(v)
		case v == math.Trunc(v) && !math.IsInf(v, 0):
			i, _ := big.NewFloat(v).Int(nil)
			return bigKey(i.String())
		}
		return v
	case string:
		return v
	case markup:
		return string(v)
	case *tuple:
		var b strings.Builder
		for _, item := range v.items {
			s := reprKey(hashOf(item))
			b.WriteString(s)
			b.WriteByte(0)
			if b.Len() > 1<<20 {
				exceeded("a tuple that is a key has more than %d bytes", 1<<20)
			}
		}
		return tupleKey(b.String())
	case *undefined:
		return undefinedKey{}
	case *List, *Dict, *view:
		fail("TypeError", "unhashable type: '%s'", typeName(v))
	case *rangeValue:
		unsupported("a range as the key of a dict")
	}
	return v
}

// equal is Python's a == b.
func (m *meter) equal(a, b Value) bool {
	m.enter()
	defer m.leave()
	if s, ok := text(a); ok {
		t, ok := text(b)
		m.tick(min(len(s), len(t)) / 64)
		return ok && s == t
	}
	if isNumber(a) && isNumber(b) {
		c, ordered := compareNumbers(a, b)
		return ordered && c == 0
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case *List:
		b, ok := b.(*List)
		return ok && (a == b || m.equalItems(a.items, b.items))
	case *tuple:
		b, ok := b.(*tuple)
		return ok && (a == b || m.equalItems(a.items, b.items))
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for i, key := range a.keys {
			if other, ok := b.get(key); !ok || !m.same(a.values[i], other) {
				return false
			}
		}
		return true
	case *rangeValue:
		b, ok := b.(*rangeValue)
		return ok && a.length == b.length && (a.length == 0 || a.start == b.start && (a.length == 1 || a.step == b.step))
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case *view:
		if _, ok := b.(*view); ok {
			unsupported("comparing what keys, values or items returns")
		}
		return false
	case *function:
		if _, ok := b.(*function); ok {
			unsupported("comparing functions")
		}
		return false
	}
	return a == b
}

// same is equal for items of containers, which Python takes for equal without a look if they are
// one object.
func (m *meter) same(a, b Value) bool {
	x, isFloat := a.(float64)
	y, other := b.(float64)
	if isFloat && other && math.IsNaN(x) && math.IsNaN(y) {
		unsupported("comparing lists that contain nan")
	}
	return m.equal(a, b)
}

func (m *meter) equalItems(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !m.same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// compare returns the order of a and b, which is false where one of them is not a number, or fails
// as Python does.
func (m *meter) compare(sign string, a, b Value) (order int, ordered bool) {
	m.enter()
	defer m.leave()
	use(a)
	use(b)
	s, ok := text(a)
	t, other := text(b)
	if ok && other {
		return strings.Compare(s, t), true
	}
	if isNumber(a) && isNumber(b) {
		return compareNumbers(a, b)
	}
	x, y := sequence(a), sequence(b)
	if x != nil && y != nil && typeName(a) == typeName(b) {
		for i := range min(len(*x), len(*y)) {
			if !m.same((*x)[i], (*y)[i]) {
				return m.compare(sign, (*x)[i], (*y)[i])
			}
		}
		return len(*x) - len(*y), true
	}
	if _, ok := a.(*view); ok {
		unsupported("comparing what keys, values or items returns")
	}
	fail("TypeError", "'%s' not supported between instances of '%s' and '%s'", sign, typeName(a), typeName(b))
	return 0, false
}

// sequence is the items of a list or tuple, or nil.
func sequence(v Value) *[]Value {
	switch v := v.(type) {
	case *List:
		return &v.items
	case *tuple:
		return &v.items
	}
	return nil
}

// less orders values for sorting.
func (m *meter) less(a, b Value) bool {
	order, ordered := m.compare("<", a, b)
	return ordered && order < 0
}

// str is Python's str(v).
func (m *meter) str(v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case *undefined:
		return ""
	}
	return m.repr(v)
}

// repr is Python's repr(v).
func (m *meter) repr(v Value) string {
	b := &builder{m: m}
	m.writeRepr(b, v, nil)
	return b.String()
}

// reprKey is a text that stands for a key of a map.
func reprKey(key any) string {
	switch key := key.(type) {
	case int64:
		return "i" + formatInt(key)
	case float64:
		return "f" + formatFloat(key)
	case string:
		return "s" + key
	case bigKey:
		return "i" + string(key)
	case tupleKey:
		return "t" + reprString(string(key))
	case noneKey:
		return "n"
	case undefinedKey:
		return "u"
	}
	unsupported("this kind of value in a tuple that is a key")
	return ""
}

// writeRepr writes repr(v) within the containers above, of which none may be v.
func (m *meter) writeRepr(b *builder, v Value, above []*namespace) {
	m.enter()
	defer m.leave()
	list := func(open string, items []Value, end string) {
		b.str(open)
		for i, item := range items {
			if i > 0 {
				b.str(", ")
			}
			m.writeRepr(b, item, above)
		}
		b.str(end)
	}
	dict := func(d *Dict) {
		b.char('{')
		for i, key := range d.keys {
			if i > 0 {
				b.str(", ")
			}
			m.writeRepr(b, key, above)
			b.str(": ")
			m.writeRepr(b, d.values[i], above)
		}
		b.char('}')
	}
	switch v := v.(type) {
	case nil:
		b.str("None")
	case bool:
		if v {
			b.str("True")
		} else {
			b.str("False")
		}
	case int64, *big.Int:
		b.str(formatInt(v))
	case float64:
		b.str(formatFloat(v))
	case string:
		m.take(4 * len(v))
		b.str(reprString(v))
	case markup:
		b.str("Markup(" + reprString(string(v)) + ")")
	case *List:
		list("[", v.items, "]")
	case *tuple:
		if len(v.items) == 1 {
			list("(", v.items, ",)")
		} else {
			list("(", v.items, ")")
		}
	case *Dict:
		dict(v)
	case *view:
		b.str("dict_" + v.of + "([")
		for i := range v.dict.keys {
			if i > 0 {
				b.str(", ")
			}
			m.writeRepr(b, v.at(i), above)
		}
		b.str("])")
	case *rangeValue:
		b.str("range(" + formatInt(int64(v.start)) + ", " + formatInt(int64(v.stop)))
		if v.step != 1 {
			b.str(", " + formatInt(int64(v.step)))
		}
		b.char(')')
	case *undefined:
		b.str("Undefined")
	case *namespace:
		for _, n := range above {
			if n == v {
				unsupported("printing a namespace that contains itself")
			}
		}
		above = append(above, v)
		b.str("<Namespace ")
		dict(v.dict)
		b.char('>')
	case *macro:
		b.str("<Macro " + reprString(v.name) + ">")
	case *loopValue:
		b.str("<LoopContext " + formatInt(int64(v.at+1)) + "/" + formatInt(int64(v.length())) + ">")
	default:
		unsupported("printing a %s", typeName(v))
	}
}

// reprString is Python's repr of a string.
func reprString(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			b.WriteString(`\x` + hex(r, 2))
		case r < 0x10000:
			b.WriteString(`\u` + hex(r, 4))
		default:
			b.WriteString(`\U` + hex(r, 8))
		}
	}
	b.WriteRune(quote)
	return b.String()
}

func hex(r rune, digits int) string {
	const alphabet = "0123456789abcdef"
	out := make([]byte, digits)
	for i := range out {
		out[digits-1-i] = alphabet[r>>(4*i)&15]
	}
	return string(out)
}
