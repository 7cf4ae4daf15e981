package jinja

import (
	"slices"
	"strings"
)

// addSequenceFilters adds the filters of sequences.
func addSequenceFilters(add addFunc) {
	for _, name := range []string{"length", "count"} {
		add(name, func(_ *renderer, v Value, _ []Value) Value {
			n, ok := length(v)
			if !ok {
				fail("TypeError", "object of type '%s' has no len()", typeName(v))
			}
			return int64(n)
		})
	}
	add("first", func(_ *renderer, v Value, _ []Value) Value {
		if item, ok := iter(v)(); ok {
			return item
		}
		return &undefined{"No first item, sequence was empty.", "UndefinedError"}
	})
	add("last", func(r *renderer, v Value, _ []Value) Value {
		next, ok := r.reversed(v)
		if !ok {
			fail("TypeError", "'%s' object is not reversible", typeName(v))
		}
		if item, ok := next(); ok {
			return item
		}
		return &undefined{"No last item, sequence was empty.", "UndefinedError"}
	})
	add("list", func(r *renderer, v Value, _ []Value) Value { return &List{r.items(v)} })
	add("join", func(r *renderer, v Value, a []Value) Value {
		get := r.getter(optional(a[1], nil), nil)
		separator := r.str(optional(a[0], ""))
		b := &builder{m: &r.meter}
		for i, item := range r.items(v) {
			if i > 0 {
				b.str(separator)
			}
			b.str(r.str(get(item)))
		}
		return b.String()
	}, "d?", "attribute?")
	add("reverse", func(r *renderer, v Value, _ []Value) Value {
		if s, ok := v.(string); ok {
			r.takeMany(len(s), 4)
			runes := []rune(s)
			slices.Reverse(runes)
			return string(runes)
		}
		if _, ok := v.(markup); ok {
			r.soft(v)
		}
		if next, ok := r.reversed(v); ok {
			return &iterator{next, "list_reverseiterator"}
		}
		if _, ok := iterate(v); !ok {
			fail("FilterArgumentError", "argument must be iterable")
		}
		items := r.items(v)
		slices.Reverse(items)
		return &List{items}
	})
	add("sort", func(r *renderer, v Value, a []Value) Value {
		key := r.sortKey(optional(a[2], nil), truth(optional(a[1], false)))
		return &List{r.sorted(r.items(v), key, truth(optional(a[0], false)))}
	}, "reverse?", "case_sensitive?", "attribute?")
	add("dictsort", dictsortFilter, "case_sensitive?", "by?", "reverse?")
	add("groupby", groupbyFilter, "attribute", "default?", "case_sensitive?")
	add("unique", func(r *renderer, v Value, a []Value) Value {
		key := r.keyOf(optional(a[1], nil), truth(optional(a[0], false)))
		seen := map[any]bool{}
		return r.lazy(func() func() (Value, bool) {
			next := iter(v)
			return func() (Value, bool) {
				for {
					item, ok := next()
					if !ok {
						return nil, false
					}
					r.take(pairBytes)
					if h := hashOf(key(item)); !seen[h] {
						seen[h] = true
						return item, true
					}
				}
			}
		})
	}, "case_sensitive?", "attribute?")
	for _, name := range []string{"min", "max"} {
		add(name, func(r *renderer, v Value, a []Value) Value {
			key := r.keyOf(optional(a[1], nil), truth(optional(a[0], false)))
			next := iter(v)
			best, ok := next()
			if !ok {
				return &undefined{"No aggregated item, sequence was empty.", "UndefinedError"}
			}
			bestKey := key(best)
			for {
				item, ok := next()
				if !ok {
					return best
				}
				k := key(item)
				if name == "min" && r.less(k, bestKey) || name == "max" && r.less(bestKey, k) {
					best, bestKey = item, k
				}
			}
		}, "case_sensitive?", "attribute?")
	}
	add("batch", batchFilter, "linecount", "fill_with?")
	add("slice", sliceFilter, "slices", "fill_with?")
	add("items", func(r *renderer, v Value, _ []Value) Value {
		return r.lazy(func() func() (Value, bool) {
			switch v := v.(type) {
			case *undefined:
				return func() (Value, bool) { return nil, false }
			case *Dict:
				next, _ := iterate(&view{v, "items"})
				return next
			}
			fail("TypeError", "Can only get item pairs from a mapping.")
			return nil
		})
	})
}

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
