package jinja

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// filterFunc is a filter. The first argument is what it is applied to.
type filterFunc func(r *renderer, v Value, args []Value, keywords []argument) Value

// filters are Jinja's, with transformers' tojson.
var filters map[string]filterFunc

// otherFilters are those that Jinja has and this package does not.
var otherFilters = []string{"pprint", "random", "striptags", "urlize", "wordwrap"}

func checkFilter(name string, line int) {
	if _, ok := filters[name]; ok {
		return
	}
	if slices.Contains(otherFilters, name) {
		panic(&Error{Line: line, Text: "the filter " + name + " is not supported", Err: ErrUnsupported})
	}
	panic(&Error{Line: line, Kind: "TemplateAssertionError", Text: "no filter named " + strconv.Quote(name)})
}

func (r *renderer) filter(x *filterExpr, v Value, s *scope) Value {
	args, keywords := r.evalArguments(x.args, s)
	checkFilter(x.name, x.line)
	return filters[x.name](r, v, args, keywords)
}

// soft is Python's soft_str: what v is as a string.
func (r *renderer) soft(v Value) string {
	if _, ok := v.(markup); ok {
		unsupported("a filter after escape or safe that changes the string")
	}
	s := r.str(v)
	r.take(len(s))
	return s
}

// optional is the value of an argument, or another one if the call does not have it.
func optional(v, otherwise Value) Value {
	if v == missing {
		return otherwise
	}
	return v
}

func init() {
	// with is a filter that takes arguments of those names.
	with := func(name string, call func(r *renderer, v Value, a []Value) Value, params ...string) {
		filters[name] = func(r *renderer, v Value, args []Value, keywords []argument) Value {
			r.tick(1)
			return call(r, v, bind(name, args, keywords, params...))
		}
	}
	filters = map[string]filterFunc{"map": mapFilter, "format": formatFilter}
	for _, name := range []string{"select", "reject", "selectattr", "rejectattr"} {
		filters[name] = func(r *renderer, v Value, args []Value, keywords []argument) Value {
			return r.choose(v, args, keywords, strings.HasPrefix(name, "reject"), strings.HasSuffix(name, "attr"))
		}
	}

	// Strings.
	with("upper", func(r *renderer, v Value, _ []Value) Value { return upper(r.soft(v)) })
	with("lower", func(r *renderer, v Value, _ []Value) Value { return lower(r.soft(v)) })
	with("capitalize", func(r *renderer, v Value, _ []Value) Value { return capitalize(r.soft(v)) })
	with("title", func(r *renderer, v Value, _ []Value) Value { return titleWords(r.soft(v)) })
	with("trim", func(r *renderer, v Value, a []Value) Value {
		return strip(r.soft(v), optional(a[0], nil), true, true)
	}, "chars?")
	with("center", func(r *renderer, v Value, a []Value) Value {
		return r.justify("center", r.soft(v), integer("center", optional(a[0], int64(80))), " ")
	}, "width?")
	with("replace", func(r *renderer, v Value, a []Value) Value {
		n := -1
		if c := optional(a[2], nil); c != nil {
			n = integer("replace", c)
		}
		s := r.str(v)
		r.take(len(s))
		return r.replace(s, r.str(a[0]), r.str(a[1]), n)
	}, "old", "new", "count?")
	with("indent", indentFilter, "width?", "first?", "blank?")
	with("truncate", truncateFilter, "length?", "killwords?", "end?", "leeway?")
	with("wordcount", func(r *renderer, v Value, _ []Value) Value {
		return int64(len(strings.FieldsFunc(r.soft(v), func(c rune) bool {
			return c != '_' && !unicode.IsLetter(c) && !unicode.IsNumber(c)
		})))
	})
	with("string", func(r *renderer, v Value, _ []Value) Value {
		if _, ok := v.(markup); ok {
			return v
		}
		return r.str(v)
	})
	escapeFilter := func(r *renderer, v Value, _ []Value) Value {
		if m, ok := v.(markup); ok {
			return m
		}
		s := r.str(v)
		r.takeMany(len(s), 5)
		return markup(escape(s))
	}
	with("escape", escapeFilter)
	with("e", escapeFilter)
	with("forceescape", func(r *renderer, v Value, _ []Value) Value {
		s := r.str(v)
		r.takeMany(len(s), 5)
		return markup(escape(s))
	})
	with("safe", func(r *renderer, v Value, _ []Value) Value { return markup(r.str(v)) })
	with("urlencode", urlencodeFilter)
	with("xmlattr", xmlattrFilter, "autospace?")
	with("filesizeformat", filesizeFilter, "binary?")
	with("tojson", func(r *renderer, v Value, a []Value) Value {
		return r.toJSON(v, optional(a[0], false), optional(a[1], nil), optional(a[2], nil), optional(a[3], false))
	}, "ensure_ascii?", "indent?", "separators?", "sort_keys?")

	// Numbers.
	with("abs", absFilter)
	with("int", intFilter, "default?", "base?")
	with("float", func(r *renderer, v Value, a []Value) Value {
		if u, ok := v.(*undefined); ok {
			use(u)
		}
		if s, ok := text(v); ok {
			if f, ok := parseFloat(s); ok {
				return f
			}
			return optional(a[0], 0.0)
		}
		if isNumber(v) {
			return floatOf(v)
		}
		return optional(a[0], 0.0)
	}, "default?")
	with("round", roundFilter, "precision?", "method?")
	with("sum", func(r *renderer, v Value, a []Value) Value {
		get := r.getter(optional(a[0], nil), nil)
		sum := optional(a[1], int64(0))
		if _, ok := text(sum); ok {
			fail("TypeError", "sum() can't sum strings")
		}
		for _, item := range r.items(v) {
			sum = r.arithmetic("+", sum, get(item))
		}
		return sum
	}, "attribute?", "start?")

	// Sequences.
	for _, name := range []string{"length", "count"} {
		with(name, func(_ *renderer, v Value, _ []Value) Value {
			n, ok := length(v)
			if !ok {
				fail("TypeError", "object of type '%s' has no len()", typeName(v))
			}
			return int64(n)
		})
	}
	with("first", func(_ *renderer, v Value, _ []Value) Value {
		if item, ok := iter(v)(); ok {
			return item
		}
		return &undefined{"No first item, sequence was empty.", "UndefinedError"}
	})
	with("last", func(r *renderer, v Value, _ []Value) Value {
		next, ok := r.reversed(v)
		if !ok {
			fail("TypeError", "'%s' object is not reversible", typeName(v))
		}
		if item, ok := next(); ok {
			return item
		}
		return &undefined{"No last item, sequence was empty.", "UndefinedError"}
	})
	with("list", func(r *renderer, v Value, _ []Value) Value { return &List{r.items(v)} })
	with("join", func(r *renderer, v Value, a []Value) Value {
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
	with("reverse", func(r *renderer, v Value, _ []Value) Value {
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
	with("sort", func(r *renderer, v Value, a []Value) Value {
		key := r.sortKey(optional(a[2], nil), truth(optional(a[1], false)))
		return &List{r.sorted(r.items(v), key, truth(optional(a[0], false)))}
	}, "reverse?", "case_sensitive?", "attribute?")
	with("dictsort", dictsortFilter, "case_sensitive?", "by?", "reverse?")
	with("groupby", groupbyFilter, "attribute", "default?", "case_sensitive?")
	with("unique", func(r *renderer, v Value, a []Value) Value {
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
		with(name, func(r *renderer, v Value, a []Value) Value {
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
	with("batch", batchFilter, "linecount", "fill_with?")
	with("slice", sliceFilter, "slices", "fill_with?")
	with("items", func(r *renderer, v Value, _ []Value) Value {
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

	// All values.
	for _, name := range []string{"default", "d"} {
		with(name, func(_ *renderer, v Value, a []Value) Value {
			if _, ok := v.(*undefined); ok || truth(optional(a[1], false)) && !truth(v) {
				return optional(a[0], "")
			}
			return v
		}, "default_value?", "boolean?")
	}
	with("attr", func(r *renderer, v Value, a []Value) Value {
		use(v)
		name, ok := a[0].(string)
		if !ok {
			fail("TypeError", "attribute name must be string, not '%s'", typeName(a[0]))
		}
		if found, ok := r.python(v, name); ok {
			return safe(v, name, found)
		}
		return noAttribute(v, name)
	}, "name")
}
