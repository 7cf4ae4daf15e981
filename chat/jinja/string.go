package jinja

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type method func(r *renderer, s string, args []Value, keywords []argument) Value

// plain is a method that takes least to most arguments without names.
func plain(name string, least, most int, call func(r *renderer, s string, args []Value) Value) method {
	return func(r *renderer, s string, args []Value, keywords []argument) Value {
		positional(name, args, keywords, least, most)
		r.take(len(s) + len(s)/2)
		return call(r, s, args)
	}
}

// stringMethods are Python's methods of strings. Those that are missing are in otherAttributes.
var stringMethods map[string]method

func init() {
	stringMethods = map[string]method{
		"split":      splitMethod(false),
		"rsplit":     splitMethod(true),
		"splitlines": splitlinesMethod,
		"format": func(r *renderer, s string, args []Value, keywords []argument) Value {
			return r.formatBraces(s, args, keywords)
		},
	}
	add := func(name string, least, most int, call func(r *renderer, s string, args []Value) Value) {
		stringMethods[name] = plain(name, least, most, call)
	}
	for _, name := range []string{"strip", "lstrip", "rstrip"} {
		add(name, 0, 1, func(_ *renderer, s string, args []Value) Value {
			var chars Value
			if len(args) > 0 {
				chars = args[0]
			}
			return strip(s, chars, name != "rstrip", name != "lstrip")
		})
	}
	for _, name := range []string{"startswith", "endswith"} {
		add(name, 1, 3, func(r *renderer, s string, args []Value) Value {
			part, ok := r.part(s, args)
			patterns := []Value{args[0]}
			if t, isTuple := args[0].(*tuple); isTuple {
				patterns = t.items
			}
			for _, p := range patterns {
				pattern, isString := p.(string)
				if !isString {
					fail("TypeError", "%s first arg must be str or a tuple of str, not %s", name, typeName(p))
				}
				if ok && (name == "startswith" && strings.HasPrefix(part, pattern) || name == "endswith" && strings.HasSuffix(part, pattern)) {
					return true
				}
			}
			return false
		})
	}
	for _, name := range []string{"find", "rfind", "index", "rindex"} {
		add(name, 1, 3, func(r *renderer, s string, args []Value) Value {
			part, ok := r.part(s, args)
			pattern := str(name, args[0])
			at := -1
			if ok {
				if strings.HasPrefix(name, "r") {
					at = strings.LastIndex(part, pattern)
				} else {
					at = strings.Index(part, pattern)
				}
			}
			if at < 0 {
				if strings.HasSuffix(name, "index") {
					fail("ValueError", "substring not found")
				}
				return int64(-1)
			}
			start, _ := r.window(args, runeCount(s))
			return int64(start + runeCount(part[:at]))
		})
	}
	add("count", 1, 3, func(r *renderer, s string, args []Value) Value {
		part, ok := r.part(s, args)
		pattern := str("count", args[0])
		if !ok {
			return int64(0)
		}
		return int64(strings.Count(part, pattern))
	})
	add("replace", 2, 3, func(r *renderer, s string, args []Value) Value {
		n := -1
		if len(args) > 2 {
			n = integer("replace", args[2])
		}
		return r.replace(s, str("replace", args[0]), str("replace", args[1]), n)
	})
	add("join", 1, 1, func(r *renderer, s string, args []Value) Value {
		b := &builder{m: &r.meter}
		for i, item := range r.items(args[0]) {
			if i > 0 {
				b.str(s)
			}
			part, ok := item.(string)
			if !ok {
				fail("TypeError", "sequence item %d: expected str instance, %s found", i, typeName(item))
			}
			b.str(part)
		}
		return b.String()
	})
	for name, call := range map[string]func(string) string{
		"upper": upper, "lower": lower, "title": title, "capitalize": capitalize, "swapcase": swapcase, "casefold": casefold,
	} {
		add(name, 0, 0, func(_ *renderer, s string, _ []Value) Value { return call(s) })
	}
	for name, call := range map[string]func(string) bool{
		"isupper":   func(s string) bool { return cased(s, unicode.IsUpper, unicode.IsLower) },
		"islower":   func(s string) bool { return cased(s, unicode.IsLower, unicode.IsUpper) },
		"istitle":   istitle,
		"isascii":   isASCII,
		"isspace":   func(s string) bool { return every(s, isSpace) },
		"isalpha":   func(s string) bool { return every(s, unicode.IsLetter) },
		"isdigit":   func(s string) bool { return every(s, isDigit) },
		"isdecimal": func(s string) bool { return every(s, unicode.IsDigit) },
		"isnumeric": func(s string) bool { return every(s, isNumeric) },
		"isalnum": func(s string) bool {
			return every(s, func(r rune) bool { return unicode.IsLetter(r) || isDigit(r) || isNumeric(r) })
		},
		"isprintable": func(s string) bool { return s == "" || every(s, unicode.IsPrint) },
	} {
		add(name, 0, 0, func(_ *renderer, s string, _ []Value) Value { return call(s) })
	}
	for _, name := range []string{"ljust", "rjust", "center"} {
		add(name, 1, 2, func(r *renderer, s string, args []Value) Value {
			fill := " "
			if len(args) > 1 {
				if fill = str(name, args[1]); runeCount(fill) != 1 {
					fail("TypeError", "The fill character must be exactly one character long")
				}
			}
			return r.justify(name, s, integer(name, args[0]), fill)
		})
	}
	add("zfill", 1, 1, func(r *renderer, s string, args []Value) Value {
		sign := ""
		n := integer("zfill", args[0]) - runeCount(s)
		if s != "" && (s[0] == '-' || s[0] == '+') {
			sign, s = s[:1], s[1:]
		}
		return sign + r.repeat("0", n) + s
	})
	add("removeprefix", 1, 1, func(_ *renderer, s string, args []Value) Value {
		return strings.TrimPrefix(s, str("removeprefix", args[0]))
	})
	add("removesuffix", 1, 1, func(_ *renderer, s string, args []Value) Value {
		return strings.TrimSuffix(s, str("removesuffix", args[0]))
	})
	add("partition", 1, 1, func(_ *renderer, s string, args []Value) Value {
		separator := separatorOf(args[0])
		before, after, found := strings.Cut(s, separator)
		if !found {
			separator = ""
		}
		return &tuple{items: []Value{before, separator, after}}
	})
	add("rpartition", 1, 1, func(_ *renderer, s string, args []Value) Value {
		separator := separatorOf(args[0])
		at := strings.LastIndex(s, separator)
		if at < 0 {
			return &tuple{items: []Value{"", "", s}}
		}
		return &tuple{items: []Value{s[:at], separator, s[at+len(separator):]}}
	})
}

// str is an argument that must be a string.
func str(name string, v Value) string {
	s, ok := v.(string)
	if !ok {
		if _, escaped := v.(markup); escaped {
			unsupported("an escaped string as an argument of %s", name)
		}
		fail("TypeError", "%s() argument must be str, not %s", name, typeName(v))
	}
	return s
}

// integer is an argument that must be an integer.
func integer(name string, v Value) int {
	if !isInt(v) {
		fail("TypeError", "%s(): '%s' object cannot be interpreted as an integer", name, typeName(v))
	}
	n, ok := small(v)
	if !ok {
		fail("OverflowError", "%s(): Python int too large to convert", name)
	}
	return n
}

func separatorOf(v Value) string {
	s := str("split", v)
	if s == "" {
		fail("ValueError", "empty separator")
	}
	return s
}

// window is the range that the second and third arguments cut from n.
func (r *renderer) window(args []Value, n int) (start, stop int) {
	bound := func(i, otherwise int) int {
		if len(args) <= i || args[i] == nil {
			return otherwise
		}
		at := index(args[i])
		if at < 0 {
			at = max(at+n, 0)
		}
		return at
	}
	return bound(1, 0), min(bound(2, n), n)
}

// part is what the second and third arguments cut from s. ok is false if that is less than nothing.
func (r *renderer) part(s string, args []Value) (part string, ok bool) {
	if len(args) == 1 {
		return s, true
	}
	start, stop := r.window(args, runeCount(s))
	if start > stop {
		return "", false
	}
	return runesOf(s, start, stop), true
}

func strip(s string, chars Value, left, right bool) string {
	in := isSpace
	if chars != nil {
		set := str("strip", chars)
		in = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, in)
	}
	if right {
		s = strings.TrimRightFunc(s, in)
	}
	return s
}

func splitMethod(fromRight bool) method {
	return func(r *renderer, s string, args []Value, keywords []argument) Value {
		a := bind("split", args, keywords, "sep?", "maxsplit?")
		limit := -1
		if a[1] != missing {
			limit = integer("split", a[1])
		}
		if limit < 0 {
			limit = math.MaxInt - 1
		}
		var parts []string
		switch {
		case a[0] == missing || a[0] == nil:
			parts = splitSpace(s, limit, fromRight)
		case fromRight:
			separator := separatorOf(a[0])
			for at := strings.LastIndex(s, separator); at >= 0 && len(parts) < limit; at = strings.LastIndex(s, separator) {
				parts = append(parts, s[at+len(separator):])
				s = s[:at]
			}
			parts = append(parts, s)
			slices.Reverse(parts)
		default:
			separator := separatorOf(a[0])
			r.takeMany(strings.Count(s, separator), 4*valueBytes)
			parts = strings.SplitN(s, separator, limit+1)
		}
		return r.strings(parts)
	}
}

// splitSpace splits s at runs of white space, at most n times.
func splitSpace(s string, n int, fromRight bool) []string {
	var parts []string
	if fromRight {
		for s = strings.TrimRightFunc(s, isSpace); s != ""; s = strings.TrimRightFunc(s, isSpace) {
			at := strings.LastIndexFunc(s, isSpace)
			if at < 0 || len(parts) == n {
				parts = append(parts, s)
				break
			}
			_, size := utf8.DecodeRuneInString(s[at:])
			parts = append(parts, s[at+size:])
			s = s[:at]
		}
		slices.Reverse(parts)
		return parts
	}
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		at := strings.IndexFunc(s, isSpace)
		if at < 0 || len(parts) == n {
			parts = append(parts, s)
			break
		}
		parts = append(parts, s[:at])
		s = s[at:]
	}
	return parts
}

// strings is a list of strings.
func (r *renderer) strings(parts []string) *List {
	r.takeMany(len(parts), 4*valueBytes)
	items := make([]Value, len(parts))
	for i, p := range parts {
		items[i] = p
	}
	return &List{items}
}

func splitlinesMethod(r *renderer, s string, args []Value, keywords []argument) Value {
	a := bind("splitlines", args, keywords, "keepends?")
	return r.strings(splitlines(s, a[0] != missing && truth(a[0])))
}

// splitlines splits s where Python sees the end of a line.
func splitlines(s string, keep bool) []string {
	var lines []string
	for s != "" {
		at := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if at < 0 {
			return append(lines, s)
		}
		_, n := utf8.DecodeRuneInString(s[at:])
		if strings.HasPrefix(s[at:], "\r\n") {
			n = 2
		}
		line := s[:at]
		if keep {
			line = s[:at+n]
		}
		lines = append(lines, line)
		s = s[at+n:]
	}
	return lines
}

// justify is s padded to a width by the method of that name.
func (r *renderer) justify(name, s string, width int, fill string) string {
	n := runeCount(s)
	if width <= n {
		return s
	}
	pad := width - n
	switch name {
	case "ljust":
		return s + r.repeat(fill, pad)
	case "rjust":
		return r.repeat(fill, pad) + s
	}
	left := pad/2 + (pad & width & 1)
	return r.repeat(fill, left) + s + r.repeat(fill, pad-left)
}
