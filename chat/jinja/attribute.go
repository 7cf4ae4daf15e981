package jinja

import (
	"math"
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
