package jinja

import (
	"math/big"
	"strings"
	"unicode"
)

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
