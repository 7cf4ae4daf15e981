package jinja

import (
	"strconv"
	"strings"
)

// formatBraces is Python's format.format(args, keywords).
func (r *renderer) formatBraces(format string, args []Value, keywords []argument) string {
	f := &braces{r: r, args: args, keywords: keywords}
	return f.format(format, 2)
}

type braces struct {
	r        *renderer
	args     []Value
	keywords []argument
	next     int
	numbered bool // with numbers in the fields
	counted  bool // without
}

func (f *braces) format(format string, depth int) string {
	if depth == 0 {
		fail("ValueError", "Max string recursion exceeded")
	}
	b := &builder{m: &f.r.meter}
	for format != "" {
		at := strings.IndexAny(format, "{}")
		if at < 0 {
			b.str(format)
			break
		}
		b.str(format[:at])
		c := format[at]
		format = format[at+1:]
		switch {
		case strings.HasPrefix(format, string(c)):
			b.char(c)
			format = format[1:]
			continue
		case c == '}':
			fail("ValueError", "Single '}' encountered in format string")
		}
		n, open := 0, 1
		for ; n < len(format); n++ {
			switch format[n] {
			case '{':
				open++
			case '}':
				open--
			}
			if open == 0 {
				break
			}
		}
		if open > 0 {
			fail("ValueError", "expected '}' before end of string")
		}
		b.str(f.field(format[:n], depth))
		format = format[n+1:]
	}
	return b.String()
}

// field is what stands for one field: name, "!" and a conversion, ":" and a spec.
func (f *braces) field(field string, depth int) string {
	name, how := field, ""
	conversion := byte(0)
	if at := strings.IndexAny(field, "!:"); at >= 0 {
		if strings.Contains(field[:at], "[") {
			unsupported("the field %s of str.format", reprString(field))
		}
		name, how = field[:at], field[at:]
		if how[0] == '!' {
			if len(how) < 2 || len(how) > 2 && how[2] != ':' {
				fail("ValueError", "expected ':' after conversion specifier")
			}
			conversion, how = how[1], how[2:]
		}
		how = strings.TrimPrefix(how, ":")
	}
	v := f.value(name)
	how = f.format(how, depth-1+boolInt(how == ""))
	switch conversion {
	case 0:
	case 's':
		v = f.r.str(v)
	case 'r':
		v = f.r.repr(v)
	default:
		unsupported("the conversion !%c of str.format", conversion)
	}
	return f.r.formatSpec(v, how)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// value looks a field's name up.
func (f *braces) value(name string) Value {
	first := name
	if at := strings.IndexAny(name, ".["); at >= 0 {
		first = name[:at]
	}
	rest := name[len(first):]
	var v Value
	switch {
	case first == "":
		if f.counted = true; f.numbered {
			fail("ValueError", "cannot switch from manual field specification to automatic field numbering")
		}
		v = f.at(f.next)
		f.next++
	case every(first, func(r rune) bool { return '0' <= r && r <= '9' }):
		if f.numbered = true; f.counted {
			fail("ValueError", "cannot switch from automatic field numbering to manual field specification")
		}
		n, err := strconv.Atoi(first)
		if err != nil {
			fail("ValueError", "Too many decimal digits in format string")
		}
		v = f.at(n)
	default:
		v = missing
		for _, k := range f.keywords {
			if k.name == first {
				v = k.value
			}
		}
		if v == missing {
			fail("KeyError", "%s", reprString(first))
		}
	}
	for rest != "" {
		if rest[0] == '.' {
			n := strings.IndexAny(rest[1:], ".[") + 1
			if n == 0 {
				n = len(rest)
			}
			if n == 1 {
				fail("ValueError", "Empty attribute in format string")
			}
			v = f.r.attribute(v, rest[1:n])
			rest = rest[n:]
			continue
		}
		n := strings.IndexByte(rest, ']')
		if n < 2 {
			fail("ValueError", "Missing ']' in format string")
		}
		var key Value = rest[1:n]
		if k, err := strconv.Atoi(rest[1:n]); err == nil && k >= 0 {
			key = int64(k)
		}
		v = f.r.item(v, key)
		if rest = rest[n+1:]; rest != "" && rest[0] != '.' && rest[0] != '[' {
			fail("ValueError", "Only '.' or '[' may follow ']' in format field specifier")
		}
	}
	return v
}

func (f *braces) at(i int) Value {
	if i >= len(f.args) {
		fail("IndexError", "Replacement index %d out of range for positional args tuple", i)
	}
	return f.args[i]
}
