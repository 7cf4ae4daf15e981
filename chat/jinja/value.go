package jinja

import (
	"math/big"
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
