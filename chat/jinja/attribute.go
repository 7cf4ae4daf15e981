package jinja

import (
	"math"
	"math/big"
	"slices"
	"strings"
)

// attribute is object.name in a template: the attribute, or else the item.
func (r *renderer) attribute(object Value, name string) Value {
	if _, ok := object.(*undefined); ok && strings.HasPrefix(name, "__") {
		if !slices.Contains(objectAttributes, name) {
			unsupported("the attribute %s of what is undefined", name)
		}
		return safe(object, name, nil)
	}
	use(object)
	if v, ok := r.python(object, name); ok {
		return safe(object, name, v)
	}
	if v, ok := r.subscript(object, name); ok {
		return v
	}
	return noAttribute(object, name)
}

// item is object[key] in a template: the item, or else the attribute.
func (r *renderer) item(object, key Value) Value {
	use(object)
	if v, ok := r.subscript(object, key); ok {
		return v
	}
	if name, ok := text(key); ok {
		if v, ok := r.python(object, name); ok {
			return safe(object, name, v)
		}
		return noAttribute(object, name)
	}
	return &undefined{typeName(object) + " object has no element " + r.describe(key), "UndefinedError"}
}

// describe is repr for an error, which must not fail.
func (r *renderer) describe(v Value) string {
	if n, ok := small(v); ok {
		return formatInt(int64(n))
	}
	return "of type " + typeName(v)
}

func noAttribute(object Value, name string) Value {
	return &undefined{"'" + typeName(object) + " object' has no attribute " + reprString(name), "UndefinedError"}
}

// changes are the methods that the sandbox hides because they change what they belong to.
var changes = map[string][]string{
	"list": {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"},
	"dict": {"clear", "pop", "popitem", "setdefault", "update"},
}

// safe is an attribute as the sandbox gives it.
func safe(object Value, name string, v Value) Value {
	if strings.HasPrefix(name, "_") || slices.Contains(changes[typeName(object)], name) {
		return &undefined{"access to attribute " + reprString(name) + " of '" + typeName(object) + "' object is unsafe.", "SecurityError"}
	}
	return v
}

// objectAttributes are those of every object in Python.
var objectAttributes = strings.Fields(`__class__ __delattr__ __dir__ __doc__ __eq__ __format__ __ge__ __getattribute__
	__getstate__ __gt__ __hash__ __init__ __init_subclass__ __le__ __lt__ __ne__ __new__ __reduce__ __reduce_ex__
	__repr__ __setattr__ __sizeof__ __str__ __subclasshook__`)

// otherAttributes are those that Python has and this package does not.
var otherAttributes = map[string][]string{
	"str": {
		"encode", "expandtabs", "format_map", "isidentifier", "maketrans", "translate",
	},
	"int":   {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag", "numerator", "real", "to_bytes", "is_integer"},
	"float": {"as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real", "from_number"},
	"list":  {},
	"dict":  {"fromkeys"},
	"range": {"count", "index"},

	"dict_keys": {"isdisjoint", "mapping"}, "dict_values": {"mapping"}, "dict_items": {"isdisjoint", "mapping"},
	"generator": {"close", "gi_code", "gi_frame", "gi_running", "gi_yieldfrom", "gi_suspended", "send", "throw"},
	"Macro":     {"explicit_caller"},
}

// python is Python's getattr(object, name).
func (r *renderer) python(object Value, name string) (Value, bool) {
	if ns, ok := object.(*namespace); ok {
		return ns.dict.get(name)
	}
	if slices.Contains(objectAttributes, name) {
		return nil, true
	}
	kind := typeName(object)
	if kind == "bool" {
		kind = "int"
	}
	if slices.Contains(otherAttributes[kind], name) {
		unsupported("%s.%s", kind, name)
	}
	if slices.Contains(changes[kind], name) {
		return nil, true
	}
	switch v := object.(type) {
	case string:
		if m, ok := stringMethods[name]; ok {
			return &function{"str." + name, func(r *renderer, args []Value, keywords []argument) Value {
				return m(r, v, args, keywords)
			}}, true
		}
	case markup:
		if _, ok := stringMethods[name]; ok || slices.Contains([]string{"striptags", "unescape", "escape"}, name) {
			unsupported("%s of an escaped string", name)
		}
	case *List:
		if name == "copy" {
			return &function{"list.copy", func(r *renderer, args []Value, keywords []argument) Value {
				positional("copy", args, keywords, 0, 0)
				return &List{r.append(v.items, nil)}
			}}, true
		}
		return itemsMethod(v.items, name)
	case *tuple:
		if v.group && name == "grouper" {
			return v.items[0], true
		}
		if v.group && name == "list" {
			return v.items[1], true
		}
		return itemsMethod(v.items, name)
	case *Dict:
		return dictMethod(v, name)
	case *rangeValue:
		switch name {
		case "start":
			return int64(v.start), true
		case "stop":
			return int64(v.stop), true
		case "step":
			return int64(v.step), true
		}
	case *loopValue:
		return v.attribute(name)
	case *macro:
		switch name {
		case "name":
			return v.name, true
		case "arguments":
			items := make([]Value, len(v.params))
			for i, p := range v.params {
				items[i] = p
			}
			return &tuple{items: items}, true
		case "catch_kwargs":
			return v.kwargs, true
		case "catch_varargs":
			return v.varargs, true
		case "caller":
			return v.caller, true
		}
	case *cycler:
		return v.attribute(name)
	case *joiner:
		switch name {
		case "sep":
			return v.separator, true
		case "used":
			return v.used, true
		}
	case *templateRef:
		unsupported("self.%s", name)
	}
	return nil, false
}

func (l *loopValue) attribute(name string) (Value, bool) {
	switch name {
	case "index":
		return int64(l.at + 1), true
	case "index0":
		return int64(l.at), true
	case "first":
		return l.at == 0, true
	case "last":
		return l.at == len(l.items)-1, true
	case "length":
		return int64(len(l.items)), true
	case "revindex":
		return int64(len(l.items) - l.at), true
	case "revindex0":
		return int64(len(l.items) - l.at - 1), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if l.at == 0 {
			return &undefined{"there is no previous item", "UndefinedError"}, true
		}
		return l.items[l.at-1], true
	case "nextitem":
		if l.at == len(l.items)-1 {
			return &undefined{"there is no next item", "UndefinedError"}, true
		}
		return l.items[l.at+1], true
	case "cycle":
		return &function{"loop.cycle", func(_ *renderer, args []Value, keywords []argument) Value {
			positional("cycle", args, keywords, 0, math.MaxInt)
			if len(args) == 0 {
				fail("TypeError", "no items for cycling given")
			}
			return args[l.at%len(args)]
		}}, true
	case "changed":
		return &function{"loop.changed", func(r *renderer, args []Value, keywords []argument) Value {
			positional("changed", args, keywords, 0, math.MaxInt)
			now := &tuple{items: args}
			if l.anything && r.equal(l.changed, now) {
				return false
			}
			l.changed, l.anything = now, true
			return true
		}}, true
	}
	return nil, false
}

func (c *cycler) attribute(name string) (Value, bool) {
	switch name {
	case "current":
		return c.items[c.at], true
	case "items":
		return &tuple{items: c.items}, true
	case "pos":
		return int64(c.at), true
	case "next", "__next__":
		return &function{"Cycler.next", func(_ *renderer, args []Value, keywords []argument) Value {
			positional("next", args, keywords, 0, 0)
			v := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return v
		}}, true
	case "reset":
		return &function{"Cycler.reset", func(_ *renderer, args []Value, keywords []argument) Value {
			positional("reset", args, keywords, 0, 0)
			c.at = 0
			return nil
		}}, true
	}
	return nil, false
}

func itemsMethod(items []Value, name string) (Value, bool) {
	switch name {
	case "count":
		return &function{"count", func(r *renderer, args []Value, keywords []argument) Value {
			positional("count", args, keywords, 1, 1)
			n := 0
			for _, item := range items {
				if r.same(item, args[0]) {
					n++
				}
			}
			return int64(n)
		}}, true
	case "index":
		return &function{"index", func(r *renderer, args []Value, keywords []argument) Value {
			positional("index", args, keywords, 1, 3)
			start, stop := r.window(args, len(items))
			for i := start; i < stop; i++ {
				if r.same(items[i], args[0]) {
					return int64(i)
				}
			}
			fail("ValueError", "the value is not in the list")
			return nil
		}}, true
	}
	return nil, false
}

func dictMethod(d *Dict, name string) (Value, bool) {
	method := func(call func(r *renderer, args []Value) Value, least, most int) (Value, bool) {
		return &function{"dict." + name, func(r *renderer, args []Value, keywords []argument) Value {
			positional(name, args, keywords, least, most)
			return call(r, args)
		}}, true
	}
	switch name {
	case "keys", "values", "items":
		return method(func(*renderer, []Value) Value { return &view{d, name} }, 0, 0)
	case "get":
		return method(func(_ *renderer, args []Value) Value {
			if v, ok := d.get(args[0]); ok {
				return v
			}
			if len(args) == 2 {
				return args[1]
			}
			return nil
		}, 1, 2)
	case "copy":
		return method(func(r *renderer, _ []Value) Value { return r.copyDict(d) }, 0, 0)
	}
	return nil, false
}

func (r *renderer) copyDict(d *Dict) *Dict {
	r.takeMany(len(d.keys), pairBytes)
	out := NewDict()
	for i, key := range d.keys {
		out.set(key, d.values[i])
	}
	return out
}

// subscript is Python's object[key]. ok is false if that is a TypeError or a LookupError.
func (r *renderer) subscript(object, key Value) (v Value, ok bool) {
	if d, isDict := object.(*Dict); isDict {
		if !hashable(key) {
			return nil, false
		}
		return d.get(key)
	}
	if !isInt(key) {
		return nil, false
	}
	at, fits := small(key)
	index := func(n int) bool {
		if at < 0 {
			at += n
		}
		return fits && 0 <= at && at < n
	}
	switch o := object.(type) {
	case *List:
		if index(len(o.items)) {
			return o.items[at], true
		}
	case *tuple:
		if index(len(o.items)) {
			return o.items[at], true
		}
	case *rangeValue:
		if index(o.length) {
			return int64(o.start + at*o.step), true
		}
	case string:
		if r.tick(len(o) / 64); index(runeCount(o)) {
			return runesOf(o, at, at+1), true
		}
	case markup:
		unsupported("an item of an escaped string")
	}
	return nil, false
}

func hashable(v Value) bool {
	switch v := v.(type) {
	case *List, *Dict, *view:
		return false
	case *tuple:
		return !slices.ContainsFunc(v.items, func(item Value) bool { return !hashable(item) })
	}
	return true
}

// runesOf is the runes of s from start to stop.
func runesOf(s string, start, stop int) string {
	if isASCII(s) {
		return s[start:stop]
	}
	from, n := len(s), 0
	for i := range s {
		if n == start {
			from = i
		}
		if n == stop {
			return s[min(from, i):i]
		}
		n++
	}
	return s[from:]
}

// index is an integer as a bound of a slice, cut to what an int holds.
func index(v Value) int {
	if !isInt(v) {
		fail("TypeError", "slice indices must be integers or None or have an __index__ method")
	}
	if n, ok := small(v); ok {
		return n
	}
	if v.(*big.Int).Sign() < 0 {
		return math.MinInt / 2
	}
	return math.MaxInt / 2
}

// slice is Python's object[start:stop:step].
func (r *renderer) slice(object, startValue, stopValue, stepValue Value) Value {
	use(object)
	n := 0
	switch o := object.(type) {
	case string:
		n = runeCount(o)
	case *List:
		n = len(o.items)
	case *tuple:
		n = len(o.items)
	case *rangeValue:
		n = o.length
	case markup:
		unsupported("a slice of an escaped string")
	case *Dict:
		fail("TypeError", "unhashable type: 'slice'")
	default:
		fail("TypeError", "'%s' object is not subscriptable", typeName(object))
	}
	step := 1
	if stepValue != nil {
		step = index(stepValue)
	}
	if step == 0 {
		fail("ValueError", "slice step cannot be zero")
	}
	step = min(max(step, -math.MaxInt/4), math.MaxInt/4)
	bound := func(v Value, otherwise, least, most int) int {
		if v == nil {
			return otherwise
		}
		i := index(v)
		if i < 0 {
			i += n
		}
		return min(max(i, least), most)
	}
	var start, stop int
	if step > 0 {
		start, stop = bound(startValue, 0, 0, n), bound(stopValue, n, 0, n)
	} else {
		start, stop = bound(startValue, n-1, -1, n-1), bound(stopValue, -1, -1, n-1)
	}
	count := 0
	switch {
	case step > 0 && start < stop:
		count = (stop-start-1)/step + 1
	case step < 0 && stop < start:
		count = (start-stop-1)/-step + 1
	}
	many := func(items []Value) []Value {
		r.takeMany(count, valueBytes)
		out := make([]Value, count)
		for i := range out {
			out[i] = items[start+i*step]
		}
		return out
	}
	switch o := object.(type) {
	case string:
		if step == 1 {
			r.take(len(o) / 8)
			return runesOf(o, start, start+count)
		}
		r.takeMany(n, 4)
		runes := []rune(o)
		out := make([]rune, count)
		for i := range out {
			out[i] = runes[start+i*step]
		}
		return string(out)
	case *List:
		return &List{many(o.items)}
	case *tuple:
		return &tuple{items: many(o.items)}
	}
	v := object.(*rangeValue)
	if count == 0 {
		unsupported("an empty slice of a range")
	}
	from := v.start + start*v.step
	if stop < 0 || step != 1 && step != -1 {
		unsupported("a slice of a range with a step")
	}
	return &rangeValue{from, from + count*v.step*step, v.step * step, count}
}

// contains is Python's v in container.
func (r *renderer) contains(container, v Value) bool {
	switch c := container.(type) {
	case *undefined:
		return false
	case string, markup:
		s, _ := text(c)
		part, ok := text(v)
		if !ok {
			fail("TypeError", "'in <string>' requires string as left operand, not %s", typeName(v))
		}
		r.tick((len(s) + len(part)) / 16)
		return strings.Contains(s, part)
	case *Dict:
		_, ok := c.get(v)
		return ok
	case *view:
		if c.of == "keys" {
			_, ok := c.dict.get(v)
			return ok
		}
	}
	next, ok := iterate(container)
	if !ok {
		fail("TypeError", "argument of type '%s' is not iterable", typeName(container))
	}
	for {
		item, ok := next()
		if !ok {
			return false
		}
		if r.tick(1); r.same(item, v) {
			return true
		}
	}
}
