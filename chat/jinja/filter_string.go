package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addStringFilters adds the filters of strings.
func addStringFilters(add addFunc) {
	add("upper", func(r *renderer, v Value, _ []Value) Value { return upper(r.soft(v)) })
	add("lower", func(r *renderer, v Value, _ []Value) Value { return lower(r.soft(v)) })
	add("capitalize", func(r *renderer, v Value, _ []Value) Value { return capitalize(r.soft(v)) })
	add("title", func(r *renderer, v Value, _ []Value) Value { return titleWords(r.soft(v)) })
	add("trim", func(r *renderer, v Value, a []Value) Value {
		return strip(r.soft(v), optional(a[0], nil), true, true)
	}, "chars?")
	add("center", func(r *renderer, v Value, a []Value) Value {
		return r.justify("center", r.soft(v), integer("center", optional(a[0], int64(80))), " ")
	}, "width?")
	add("replace", func(r *renderer, v Value, a []Value) Value {
		n := -1
		if c := optional(a[2], nil); c != nil {
			n = integer("replace", c)
		}
		s := r.str(v)
		r.take(len(s))
		return r.replace(s, r.str(a[0]), r.str(a[1]), n)
	}, "old", "new", "count?")
	add("indent", indentFilter, "width?", "first?", "blank?")
	add("truncate", truncateFilter, "length?", "killwords?", "end?", "leeway?")
	add("wordcount", func(r *renderer, v Value, _ []Value) Value {
		return int64(len(strings.FieldsFunc(r.soft(v), func(c rune) bool {
			return c != '_' && !unicode.IsLetter(c) && !unicode.IsNumber(c)
		})))
	})
	add("string", func(r *renderer, v Value, _ []Value) Value {
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
	add("escape", escapeFilter)
	add("e", escapeFilter)
	add("forceescape", func(r *renderer, v Value, _ []Value) Value {
		s := r.str(v)
		r.takeMany(len(s), 5)
		return markup(escape(s))
	})
	add("safe", func(r *renderer, v Value, _ []Value) Value { return markup(r.str(v)) })
	add("urlencode", urlencodeFilter)
	add("xmlattr", xmlattrFilter, "autospace?")
	add("filesizeformat", filesizeFilter, "binary?")
	add("tojson", func(r *renderer, v Value, a []Value) Value {
		return r.toJSON(v, optional(a[0], false), optional(a[1], nil), optional(a[2], nil), optional(a[3], false))
	}, "ensure_ascii?", "indent?", "separators?", "sort_keys?")
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
