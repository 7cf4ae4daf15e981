package jinja

import (
	"slices"
	"strings"
)

// lazy is a generator, whose items are computed when they are wanted.
func (r *renderer) lazy(start func() func() (Value, bool)) *iterator {
	var next func() (Value, bool)
	return &iterator{kind: "generator", next: func() (Value, bool) {
		if next == nil {
			next = start()
		}
		r.tick(1)
		return next()
	}}
}

// reversed is Python's reversed(v), and whether v can be.
func (r *renderer) reversed(v Value) (next func() (Value, bool), ok bool) {
	var items []Value
	switch v := v.(type) {
	case *List:
		items = v.items
	case *tuple:
		items = v.items
	case *Dict:
		items = v.keys
	case *view, *rangeValue:
		items = r.items(v)
	case string:
		items = r.items(v)
	case *undefined:
		// It has a length of 0, and getting an item of it is never tried.
	case markup:
		unsupported("going through an escaped string backwards")
	default:
		return nil, false
	}
	i := len(items)
	return func() (Value, bool) {
		if i == 0 {
			return nil, false
		}
		i--
		return items[i], true
	}, true
}

// getter looks up an attribute, which may be several with dots between them, or an index.
func (r *renderer) getter(attribute, otherwise Value) func(Value) Value {
	var parts []Value
	switch a := attribute.(type) {
	case nil:
	case string:
		for part := range strings.SplitSeq(a, ".") {
			if every(part, isDigit) {
				if n, ok := parseInt(part, 10); ok {
					parts = append(parts, n)
					continue
				}
			}
			parts = append(parts, part)
		}
	default:
		parts = []Value{a}
	}
	return func(v Value) Value {
		for _, part := range parts {
			v = r.item(v, part)
			if _, ok := v.(*undefined); ok && otherwise != nil {
				v = otherwise
			}
		}
		return v
	}
}

func mapFilter(r *renderer, v Value, args []Value, keywords []argument) Value {
	return r.lazy(func() func() (Value, bool) {
		if !truth(v) {
			return func() (Value, bool) { return nil, false }
		}
		var call func(Value) Value
		hasAttribute := slices.ContainsFunc(keywords, func(k argument) bool { return k.name == "attribute" })
		switch {
		case len(args) == 0 && hasAttribute:
			a := bind("map", nil, keywords, "attribute", "default?")
			call = r.getter(a[0], optional(a[1], nil))
		case len(args) == 0:
			fail("FilterArgumentError", "map requires a filter argument")
		default:
			name, ok := args[0].(string)
			if !ok {
				fail("TemplateRuntimeError", "No filter named %s", r.describe(args[0]))
			}
			call = func(v Value) Value {
				checkFilter(name, r.line)
				return filters[name](r, v, args[1:], keywords)
			}
		}
		next := iter(v)
		return func() (Value, bool) {
			item, ok := next()
			if !ok {
				return nil, false
			}
			return call(item), true
		}
	})
}

// choose is select, reject, selectattr and rejectattr.
func (r *renderer) choose(v Value, args []Value, keywords []argument, negate, byAttribute bool) Value {
	return r.lazy(func() func() (Value, bool) {
		if !truth(v) {
			return func() (Value, bool) { return nil, false }
		}
		get := r.getter(nil, nil)
		if byAttribute {
			if len(args) == 0 {
				fail("FilterArgumentError", "Missing parameter for attribute name")
			}
			get = r.getter(args[0], nil)
			args = args[1:]
		}
		is := truth
		if len(args) > 0 {
			name, ok := args[0].(string)
			if !ok {
				fail("TemplateRuntimeError", "No test named %s", r.describe(args[0]))
			}
			is = func(v Value) bool { return truth(r.test(name, v, args[1:], keywords)) }
		}
		next := iter(v)
		return func() (Value, bool) {
			for {
				item, ok := next()
				if !ok || is(get(item)) != negate {
					return item, ok
				}
				r.tick(1)
			}
		}
	})
}

func batchFilter(r *renderer, v Value, a []Value) Value {
	return r.lazy(func() func() (Value, bool) {
		next := iter(v)
		return func() (Value, bool) {
			var row []Value
			for {
				if len(row) > 0 && isNumber(a[0]) {
					if order, ok := compareNumbers(int64(len(row)), a[0]); ok && order == 0 {
						return &List{row}, true
					}
				}
				item, ok := next()
				if !ok {
					break
				}
				r.take(valueBytes)
				row = append(row, item)
			}
			if len(row) == 0 {
				return nil, false
			}
			if fill := optional(a[1], nil); fill != nil {
				n := integer("batch", a[0])
				r.takeMany(n-len(row), valueBytes)
				for len(row) < n {
					row = append(row, fill)
				}
			}
			return &List{row}, true
		}
	})
}

func sliceFilter(r *renderer, v Value, a []Value) Value {
	return r.lazy(func() func() (Value, bool) {
		items := r.items(v)
		n := integer("slice", a[0])
		if n == 0 {
			fail("ZeroDivisionError", "integer division or modulo by zero")
		}
		fill := optional(a[1], nil)
		i, start := 0, 0
		return func() (Value, bool) {
			if i >= n {
				return nil, false
			}
			size := len(items) / n
			extra := i < len(items)%n
			if extra {
				size++
			}
			r.takeMany(size+1, valueBytes)
			row := slices.Clone(items[start : start+size])
			if fill != nil && !extra {
				row = append(row, fill)
			}
			i, start = i+1, start+size
			return &List{row}, true
		}
	})
}
