package jinja

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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

// ignoreCase is v, in lower case if it is a string.
func ignoreCase(v Value) Value {
	if s, ok := text(v); ok {
		return lower(s)
	}
	return v
}

// keyOf is a getter of what items are compared by.
func (r *renderer) keyOf(attribute Value, caseSensitive bool) func(Value) Value {
	get := r.getter(attribute, nil)
	if caseSensitive {
		return get
	}
	return func(v Value) Value { return ignoreCase(get(v)) }
}

// sortKey is keyOf for several attributes with commas between them.
func (r *renderer) sortKey(attribute Value, caseSensitive bool) func(Value) Value {
	var keys []func(Value) Value
	if s, ok := attribute.(string); ok {
		for part := range strings.SplitSeq(s, ",") {
			keys = append(keys, r.keyOf(part, caseSensitive))
		}
	} else {
		keys = append(keys, r.keyOf(attribute, caseSensitive))
	}
	return func(v Value) Value {
		items := make([]Value, len(keys))
		for i, key := range keys {
			items[i] = key(v)
		}
		return &List{items}
	}
}

// sorted is Python's sorted(items, key, reverse).
func (r *renderer) sorted(items []Value, key func(Value) Value, reverse bool) []Value {
	type entry struct{ key, value Value }
	r.takeMany(len(items), 4*valueBytes)
	entries := make([]entry, len(items))
	for i, item := range items {
		entries[i] = entry{key(item), item}
		if hasNaN(entries[i].key) {
			unsupported("sorting nan")
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		x, y := a.key, b.key
		if reverse {
			x, y = y, x
		}
		switch {
		case r.less(x, y):
			return -1
		case r.less(y, x):
			return 1
		}
		return 0
	})
	out := make([]Value, len(entries))
	for i, e := range entries {
		out[i] = e.value
	}
	return out
}

func hasNaN(v Value) bool {
	if l := sequence(v); l != nil {
		return slices.ContainsFunc(*l, func(v Value) bool {
			f, ok := v.(float64)
			return ok && math.IsNaN(f)
		})
	}
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
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

func formatFilter(r *renderer, v Value, args []Value, keywords []argument) Value {
	if len(args) > 0 && len(keywords) > 0 {
		fail("FilterArgumentError", "can't handle positional and keyword arguments at the same time")
	}
	if len(keywords) == 0 {
		return r.formatPercent(r.soft(v), &tuple{items: args})
	}
	d := NewDict()
	for _, k := range keywords {
		d.set(k.name, k.value)
	}
	return r.formatPercent(r.soft(v), d)
}

func indentFilter(r *renderer, v Value, a []Value) Value {
	var indention string
	if s, ok := optional(a[0], int64(4)).(string); ok {
		indention = s
	} else {
		indention = r.repeat(" ", integer("indent", optional(a[0], int64(4))))
	}
	first, blank := truth(optional(a[1], false)), truth(optional(a[2], false))
	s, ok := v.(string)
	if !ok {
		if _, escaped := v.(markup); escaped {
			r.soft(v)
		}
		use(v)
		fail("TypeError", "unsupported operand type(s) for +=: '%s' and 'str'", typeName(v))
	}
	lines := splitlines(r.concat(s, "\n"), false)
	b := &builder{m: &r.meter}
	for i, line := range lines {
		if i > 0 {
			b.char('\n')
		}
		if i == 0 && first || i > 0 && (line != "" || blank) {
			b.str(indention)
		}
		b.str(line)
	}
	return b.String()
}

func truncateFilter(r *renderer, v Value, a []Value) Value {
	n := integer("truncate", optional(a[0], int64(255)))
	end := str("truncate", optional(a[2], "..."))
	leeway := 5
	if l := optional(a[3], nil); l != nil {
		leeway = integer("truncate", l)
	}
	size := runeCount(end)
	if n < size || leeway < 0 {
		fail("AssertionError", "truncate: expected length >= %d and leeway >= 0", size)
	}
	count, ok := length(v)
	if !ok {
		fail("TypeError", "object of type '%s' has no len()", typeName(v))
	}
	if count <= n || count-n <= leeway {
		return v
	}
	s, ok := v.(string)
	if !ok {
		unsupported("truncate of a %s", typeName(v))
	}
	s = runesOf(s, 0, n-size)
	if !truth(optional(a[1], false)) {
		if at := strings.LastIndexByte(s, ' '); at >= 0 {
			s = s[:at]
		}
	}
	return r.concat(s, end)
}

// titleWords is the filter title: words begin behind white space and some brackets.
func titleWords(s string) string {
	checkTitle(s)
	var b strings.Builder
	begins := true
	for s != "" {
		c, n := utf8.DecodeRuneInString(s)
		switch {
		case isSpace(c) || strings.ContainsRune("-({[<", c):
			b.WriteString(s[:n])
			begins = true
		case begins:
			b.WriteString(strings.ToUpper(s[:n]))
			begins = false
		default:
			b.WriteString(strings.ToLower(s[:n]))
		}
		s = s[n:]
	}
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

// quoteURL is Python's urllib.parse.quote, as Jinja calls it.
func quoteURL(s string, query bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case isDecimal(c), 'a' <= c|0x20 && c|0x20 <= 'z', strings.IndexByte("_.-~", c) >= 0, c == '/' && !query:
			b.WriteByte(c)
		case c == ' ' && query:
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteString(strings.ToUpper(hex(rune(c), 2)))
		}
	}
	return b.String()
}

func urlencodeFilter(r *renderer, v Value, _ []Value) Value {
	quote := func(v Value, query bool) string {
		s := r.str(v)
		r.takeMany(len(s), 3)
		return quoteURL(s, query)
	}
	if _, ok := text(v); ok {
		return quote(v, false)
	}
	if d, ok := v.(*Dict); ok {
		v = &view{d, "items"}
	}
	next, ok := iterate(v)
	if !ok {
		return quote(v, false)
	}
	var parts []string
	for item, ok := next(); ok; item, ok = next() {
		pair := r.items(item)
		if len(pair) != 2 {
			fail("ValueError", "urlencode: pairs are needed")
		}
		parts = append(parts, quote(pair[0], true)+"="+quote(pair[1], true))
	}
	return strings.Join(parts, "&")
}

func xmlattrFilter(r *renderer, v Value, a []Value) Value {
	d, ok := v.(*Dict)
	if !ok {
		use(v)
		fail("AttributeError", "'%s' object has no attribute 'items'", typeName(v))
	}
	b := &builder{m: &r.meter}
	for i, key := range d.keys {
		value := d.values[i]
		if _, ok := value.(*undefined); ok || value == nil {
			continue
		}
		name := str("xmlattr", key)
		if strings.ContainsAny(name, " \t\n\r\f\v/>=") {
			fail("ValueError", "Invalid character in attribute name: %s", reprString(name))
		}
		if b.b.Len() > 0 || truth(optional(a[0], true)) {
			b.char(' ')
		}
		var escaped string
		if m, ok := value.(markup); ok {
			escaped = string(m)
		} else {
			escaped = escape(r.str(value))
		}
		b.str(escape(name) + `="` + escaped + `"`)
	}
	return b.String()
}

func filesizeFilter(r *renderer, v Value, a []Value) Value {
	use(v)
	f := 0.0
	if s, ok := text(v); ok {
		if f, ok = parseFloat(s); !ok {
			fail("ValueError", "could not convert string to float: %s", reprString(s))
		}
	} else if isNumber(v) {
		f = floatOf(v)
	} else {
		fail("TypeError", "float() argument must be a string or a real number, not '%s'", typeName(v))
	}
	base, infix := 1000.0, ""
	prefixes := "kMGTPEZY"
	if truth(optional(a[0], false)) {
		base, infix, prefixes = 1024, "i", "KMGTPEZY"
	}
	switch {
	case f == 1:
		return "1 Byte"
	case f < base:
		return formatInt(truncate(f)) + " Bytes"
	}
	unit := base
	for i := range len(prefixes) {
		unit *= base
		if f < unit || i == len(prefixes)-1 {
			return strconv.FormatFloat(base*f/unit, 'f', 1, 64) + " " + prefixes[i:i+1] + infix + "B"
		}
	}
	return nil
}

func absFilter(_ *renderer, v Value, _ []Value) Value {
	switch {
	case isInt(v):
		return normal(new(big.Int).Abs(bigOf(v)))
	case isNumber(v):
		return math.Abs(v.(float64))
	}
	fail("TypeError", "bad operand type for abs(): '%s'", typeName(v))
	return nil
}

func intFilter(_ *renderer, v Value, a []Value) Value {
	otherwise := optional(a[0], int64(0))
	use(v)
	if s, ok := text(v); ok {
		base := integer("int", optional(a[1], int64(10)))
		if base == 0 || 2 <= base && base <= 36 {
			if n, ok := parseInt(s, base); ok {
				return n
			}
		}
		f, ok := parseFloat(s)
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return otherwise
		}
		return truncate(f)
	}
	if isInt(v) {
		return normal(bigOf(v))
	}
	f, ok := v.(float64)
	switch {
	case !ok || math.IsNaN(f):
		return otherwise
	case math.IsInf(f, 0):
		fail("OverflowError", "cannot convert float infinity to integer")
	}
	return truncate(f)
}

func roundFilter(r *renderer, v Value, a []Value) Value {
	precision := optional(a[0], int64(0))
	method, _ := optional(a[1], "common").(string)
	switch method {
	case "common":
		if f, ok := v.(float64); ok {
			if precision == nil {
				unsupported("round with the precision none")
			}
			return roundFloat(f, integer("round", precision))
		}
		if !isInt(v) {
			fail("TypeError", "type %s doesn't define __round__ method", typeName(v))
		}
		n := integer("round", precision)
		if n >= 0 {
			return normal(bigOf(v))
		}
		if n < -maxDigits {
			return int64(0)
		}
		return roundInt(bigOf(v), -n)
	case "ceil", "floor":
		ten := integers("**", int64(10), precisionOf(precision))
		scaled := r.arithmetic("*", v, ten)
		if f, ok := scaled.(float64); ok {
			if method == "ceil" {
				scaled = truncate(math.Ceil(f))
			} else {
				scaled = truncate(math.Floor(f))
			}
		}
		return r.arithmetic("/", scaled, ten)
	}
	fail("FilterArgumentError", "method must be common, ceil or floor")
	return nil
}

func precisionOf(v Value) Value {
	if !isInt(v) {
		fail("TypeError", "the precision of round must be an integer, not %s", typeName(v))
	}
	return v
}

// roundFloat rounds to n digits behind the point, half to even, of the exact value of f.
func roundFloat(f float64, n int) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return f
	}
	if n > 323 {
		return f
	}
	if n < -308 {
		return math.Copysign(0, f)
	}
	if n >= 0 {
		out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', n, 64), 64)
		if err != nil {
			fail("OverflowError", "rounded value too large to represent")
		}
		return out
	}
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
	exact.SetFloat64(f)
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-n)), nil)
	quotient := new(big.Rat).Quo(exact, new(big.Rat).SetInt(unit))
	i := roundRat(quotient)
	out, _ := new(big.Float).SetInt(i.Mul(i, unit)).Float64()
	if out == 0 {
		return math.Copysign(0, f)
	}
	return out
}

// roundRat is the nearest integer, or the even one of two.
func roundRat(x *big.Rat) *big.Int {
	doubled := new(big.Int).Lsh(x.Num(), 1)
	doubled.Add(doubled, x.Denom())
	twice := new(big.Int).Lsh(x.Denom(), 1)
	i, rest := new(big.Int).DivMod(doubled, twice, new(big.Int))
	if rest.Sign() == 0 && i.Bit(0) == 1 {
		i.Sub(i, big.NewInt(1))
	}
	return i
}

func roundInt(i *big.Int, digits int) Value {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	out := roundRat(new(big.Rat).SetFrac(i, unit))
	return normal(out.Mul(out, unit))
}

func dictsortFilter(r *renderer, v Value, a []Value) Value {
	at := 0
	switch by, _ := optional(a[1], "key").(string); by {
	case "key":
	case "value":
		at = 1
	default:
		fail("FilterArgumentError", `You can only sort by either "key" or "value"`)
	}
	d, ok := v.(*Dict)
	if !ok {
		use(v)
		fail("AttributeError", "'%s' object has no attribute 'items'", typeName(v))
	}
	caseSensitive := truth(optional(a[0], false))
	key := func(pair Value) Value {
		k := pair.(*tuple).items[at]
		if caseSensitive {
			return k
		}
		return ignoreCase(k)
	}
	return &List{r.sorted(r.items(&view{d, "items"}), key, truth(optional(a[2], false)))}
}

func groupbyFilter(r *renderer, v Value, a []Value) Value {
	otherwise := optional(a[1], nil)
	caseSensitive := truth(optional(a[2], false))
	get := r.getter(a[0], otherwise)
	key := func(v Value) Value {
		if caseSensitive {
			return get(v)
		}
		return ignoreCase(get(v))
	}
	var groups []Value
	var last Value
	for i, item := range r.sorted(r.items(v), key, false) {
		k := key(item)
		if i == 0 || !r.equal(last, k) {
			r.take(pairBytes)
			groups = append(groups, &tuple{items: []Value{get(item), &List{}}, group: true})
			last = k
		}
		list := groups[len(groups)-1].(*tuple).items[1].(*List)
		r.take(valueBytes)
		list.items = append(list.items, item)
	}
	return &List{groups}
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
