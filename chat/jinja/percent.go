package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// formatPercent is Python's format % values.
func (r *renderer) formatPercent(format string, values Value) Value {
	b := &builder{m: &r.meter}
	args := []Value{values}
	isTuple := false
	if t, ok := values.(*tuple); ok {
		args, isTuple = t.items, true
	}
	used := 0
	next := func() Value {
		if used == len(args) {
			fail("TypeError", "not enough arguments for format string")
		}
		used++
		return args[used-1]
	}
	mapped := false
	for format != "" {
		r.tick(1)
		at := strings.IndexByte(format, '%')
		if at < 0 {
			b.str(format)
			break
		}
		b.str(format[:at])
		format = format[at+1:]
		s := spec{fill: " ", precision: -1}
		var value Value = missing
		if strings.HasPrefix(format, "(") {
			depth, n := 1, 1
			for ; n < len(format) && depth > 0; n++ {
				switch format[n] {
				case '(':
					depth++
				case ')':
					depth--
				}
			}
			if depth > 0 {
				fail("ValueError", "incomplete format key")
			}
			if isTuple {
				fail("TypeError", "format requires a mapping")
			}
			d, ok := values.(*Dict)
			if !ok {
				fail("TypeError", "format requires a mapping")
			}
			if value, ok = d.get(format[1 : n-1]); !ok {
				fail("KeyError", "%s", reprString(format[1:n-1]))
			}
			format, mapped = format[n:], true
		}
		left, zero := false, false
		for format != "" && strings.IndexByte("-+ #0", format[0]) >= 0 {
			switch format[0] {
			case '-':
				left = true
			case '+':
				s.sign = '+'
			case ' ':
				if s.sign == 0 {
					s.sign = ' '
				}
			case '#':
				s.alternate = true
			case '0':
				zero = true
			}
			format = format[1:]
		}
		count := func() (int, bool) {
			if strings.HasPrefix(format, "*") {
				format = format[1:]
				v := next()
				if !isInt(v) {
					fail("TypeError", "* wants int")
				}
				return integer("%", v), true
			}
			n := 0
			for n < len(format) && isDecimal(format[n]) {
				n++
			}
			if n == 0 {
				return 0, false
			}
			k, err := strconv.Atoi(format[:n])
			if err != nil {
				fail("ValueError", "width too big")
			}
			format = format[n:]
			return k, true
		}
		if k, ok := count(); ok {
			if s.width = k; k < 0 {
				left, s.width = true, -k
			}
		}
		if strings.HasPrefix(format, ".") {
			format = format[1:]
			k, _ := count()
			s.precision = max(k, 0)
		}
		format = strings.TrimLeft(format[:min(1, len(format))], "hlL") + format[min(1, len(format)):]
		if format == "" {
			fail("ValueError", "incomplete format")
		}
		verb := format[0]
		format = format[1:]
		if verb == '%' {
			b.char('%')
			continue
		}
		if strings.IndexByte("diuoxXeEfFgGcrsa", verb) < 0 {
			fail("ValueError", "unsupported format character '%c'", verb)
		}
		if value == missing {
			value = next()
		}
		s.align = '>'
		if left {
			s.align = '<'
		} else if zero && strings.IndexByte("crsa", verb) < 0 {
			s.align, s.fill = '=', "0"
		}
		b.str(r.percent(s, verb, value))
	}
	if used < len(args) && !mapped {
		switch values.(type) {
		case *Dict, *List, *rangeValue, *undefined:
			if used == 0 {
				return b.String()
			}
		}
		fail("TypeError", "not all arguments converted during string formatting")
	}
	return b.String()
}

// percent formats one value.
func (r *renderer) percent(s spec, verb byte, v Value) string {
	switch verb {
	case 's', 'r':
		var t string
		if verb == 's' {
			t = r.str(v)
		} else {
			t = r.repr(v)
		}
		return r.padString(s, t)
	case 'a':
		unsupported("%%a")
	case 'c':
		if t, ok := v.(string); ok && runeCount(t) == 1 {
			return r.padString(s, t)
		}
		n, ok := small(v)
		if !ok || n < 0 || n > 0x10ffff {
			fail("TypeError", "%%c requires int or char")
		}
		s.precision = -1
		return r.padString(s, string(rune(n)))
	case 'd', 'i', 'u', 'o', 'x', 'X':
		switch t := v.(type) {
		case float64:
			if verb == 'o' || verb|0x20 == 'x' {
				fail("TypeError", "%%%c format: an integer is required, not float", verb)
			}
			v = truncate(t)
		case *undefined:
			use(v)
		default:
			if !isInt(v) {
				fail("TypeError", "%%%c format: a real number is required, not %s", verb, typeName(v))
			}
		}
		if verb == 'i' || verb == 'u' {
			verb = 'd'
		}
		digits := r.digits(bigOf(v), verb)
		if s.precision > len(digits) {
			digits = r.repeat("0", s.precision-len(digits)) + digits
		}
		s.verb = verb
		return r.padNumber(s, bigOf(v).Sign() < 0, digits)
	}
	// The verbs for floats are left.
	use(v)
	if !isNumber(v) {
		fail("TypeError", "must be real number, not %s", typeName(v))
	}
	s.verb = verb
	if s.precision < 0 {
		s.precision = 6
	}
	return r.formatFloat(s, floatOf(v))
}

// truncate is Python's int of a float.
func truncate(f float64) Value {
	switch {
	case math.IsNaN(f):
		fail("ValueError", "cannot convert float NaN to integer")
	case math.IsInf(f, 0):
		fail("OverflowError", "cannot convert float infinity to integer")
	}
	i, _ := big.NewFloat(f).Int(nil)
	return normal(i)
}

func (r *renderer) digits(i *big.Int, verb byte) string {
	i = new(big.Int).Abs(i)
	switch verb {
	case 'o':
		return i.Text(8)
	case 'b':
		return i.Text(2)
	case 'x':
		return i.Text(16)
	case 'X':
		return strings.ToUpper(i.Text(16))
	}
	return formatInt(normal(i))
}
