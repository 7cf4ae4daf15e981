package jinja

import (
	"math"
	"strconv"
	"strings"
)

// spec says how one value is formatted.
type spec struct {
	fill      string
	align     byte // '<', '>', '=', '^' or 0
	sign      byte // '+', ' ' or 0
	alternate bool
	width     int
	comma     byte // ',', '_' or 0
	precision int  // -1 if there is none
	verb      byte // 0 if there is none
}

// padString pads, and cuts, a string.
func (r *renderer) padString(s spec, t string) string {
	if s.precision >= 0 && s.precision < runeCount(t) {
		t = runesOf(t, 0, s.precision)
	}
	n := s.width - runeCount(t)
	if n <= 0 {
		return t
	}
	switch s.align {
	case '<':
		return t + r.repeat(s.fill, n)
	case '^':
		return r.repeat(s.fill, n/2) + t + r.repeat(s.fill, n-n/2)
	default:
		return r.repeat(s.fill, n) + t
	}
}

// padNumber puts sign, prefix and padding around digits.
func (r *renderer) padNumber(s spec, negative bool, digits string) string {
	sign := ""
	switch {
	case negative:
		sign = "-"
	case s.sign != 0:
		sign = string(s.sign)
	}
	if s.alternate && strings.IndexByte("oxXb", s.verb) >= 0 && s.verb != 0 {
		sign += "0" + string(s.verb)
	}
	if s.comma != 0 {
		group := 3
		if s.verb != 0 && strings.IndexByte("oxXb", s.verb) >= 0 {
			group = 4
		}
		if s.align == '=' && s.fill == "0" && s.width > 0 {
			unsupported("a format with zeros and %q", s.comma)
		}
		digits = grouped(digits, s.comma, group)
	}
	if s.align == '=' {
		n := s.width - len(sign) - runeCount(digits)
		return sign + r.repeat(s.fill, n) + digits
	}
	s.precision = -1
	return r.padString(s, sign+digits)
}

// grouped puts a separator between groups of the digits before the point.
func grouped(digits string, separator byte, size int) string {
	n := 0
	for n < len(digits) && (isDecimal(digits[n]) || size == 4 && 'a' <= digits[n]|0x20 && digits[n]|0x20 <= 'f') {
		n++
	}
	out := digits[n:]
	for ; n > size; n -= size {
		out = string(separator) + digits[n-size:n] + out
	}
	return digits[:n] + out
}

// formatFloat formats a float by one of the verbs e, f, g, % or none.
func (r *renderer) formatFloat(s spec, f float64) string {
	verb := s.verb
	negative := math.Signbit(f) && !math.IsNaN(f)
	a := math.Abs(f)
	digits := ""
	if s.precision > 1000 {
		exceeded("a float has more than 1000 digits")
	}
	switch {
	case math.IsNaN(f):
		digits = "nan"
	case math.IsInf(f, 0):
		digits = "inf"
	case verb == 0 && s.precision < 0:
		digits = formatFloat(a)
	case verb == 0:
		unsupported("a format of a float with a precision and no type")
	case verb|0x20 == 'f':
		digits = strconv.FormatFloat(a, 'f', s.precision, 64)
	case verb == '%':
		digits = strconv.FormatFloat(a*100, 'f', s.precision, 64)
	case verb|0x20 == 'e':
		digits = strconv.FormatFloat(a, 'e', s.precision, 64)
	case verb|0x20 == 'g':
		digits = formatG(a, max(s.precision, 1))
	}
	if s.alternate {
		unsupported("# in the format of a float")
	}
	if verb == '%' {
		digits += "%"
	}
	if verb == 'E' || verb == 'G' || verb == 'F' {
		digits = strings.ToUpper(digits)
	}
	if s.align == '=' && s.fill == "0" && (math.IsNaN(f) || math.IsInf(f, 0)) {
		unsupported("zeros before nan or inf")
	}
	s.verb = 0
	return r.padNumber(s, negative, digits)
}

// formatG is the format g: the shorter of e and f, without zeros at its end.
func formatG(f float64, precision int) string {
	e := strconv.FormatFloat(f, 'e', precision-1, 64)
	mantissa, exponent, _ := strings.Cut(e, "e")
	n, _ := strconv.Atoi(exponent)
	if -4 <= n && n < precision {
		s := strconv.FormatFloat(f, 'f', precision-1-n, 64)
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + "e" + exponent
}

// formatSpec is Python's format(v, how).
func (r *renderer) formatSpec(v Value, how string) string {
	if how == "" {
		return r.str(v)
	}
	s := parseSpec(how)
	switch {
	case isInt(v):
		if _, ok := v.(bool); ok && s.verb == 0 {
			unsupported("a format of a bool")
		}
		switch s.verb {
		case 0, 'd', 'b', 'o', 'x', 'X', 'n':
			if s.precision >= 0 {
				fail("ValueError", "Precision not allowed in integer format specifier")
			}
			if s.verb == 'n' || s.verb == 0 {
				s.verb = 'd'
			}
			if s.align == 0 {
				s.align = '>'
			}
			return r.padNumber(s, bigOf(v).Sign() < 0, r.digits(bigOf(v), s.verb))
		case 'c':
			unsupported("the format c of an integer")
		case 'e', 'E', 'f', 'F', 'g', 'G', '%':
			v = floatOf(v)
		default:
			fail("ValueError", "Unknown format code '%c' for object of type 'int'", s.verb)
		}
	case typeName(v) == "str":
		switch {
		case s.verb != 0 && s.verb != 's':
			fail("ValueError", "Unknown format code '%c' for object of type 'str'", s.verb)
		case s.sign != 0 || s.alternate || s.comma != 0 || s.align == '=':
			if s.align == '=' && s.fill == "0" {
				s.align = '<' // a 0 before the width
				break
			}
			fail("ValueError", "Sign, = or comma not allowed in string format specifier")
		}
		if s.align == 0 {
			s.align = '<'
		}
		return r.padString(s, v.(string))
	}
	f, ok := v.(float64)
	if !ok {
		if _, escaped := v.(markup); escaped {
			unsupported("a format of an escaped string")
		}
		fail("TypeError", "unsupported format string passed to %s.__format__", typeName(v))
	}
	switch s.verb {
	case 0:
	case 'n':
		s.verb = 'g'
		fallthrough
	case 'e', 'E', 'f', 'F', 'g', 'G', '%':
		if s.precision < 0 {
			s.precision = 6
		}
	default:
		fail("ValueError", "Unknown format code '%c' for object of type 'float'", s.verb)
	}
	if s.align == 0 {
		s.align = '>'
	}
	return r.formatFloat(s, f)
}

// parseSpec reads [[fill]align][sign][#][0][width][,][.precision][type].
func parseSpec(how string) spec {
	s := spec{fill: " ", precision: -1}
	runes := []rune(how)
	isAlign := func(i int) bool { return i < len(runes) && strings.ContainsRune("<>=^", runes[i]) }
	filled := false
	switch {
	case isAlign(1):
		filled = true
		s.fill, s.align, runes = string(runes[0]), byte(runes[1]), runes[2:]
	case isAlign(0):
		s.align, runes = byte(runes[0]), runes[1:]
	}
	take := func(set string) byte {
		if len(runes) > 0 && strings.ContainsRune(set, runes[0]) {
			c := byte(runes[0])
			runes = runes[1:]
			return c
		}
		return 0
	}
	count := func() int {
		n := 0
		for len(runes) > 0 && '0' <= runes[0] && runes[0] <= '9' {
			if n = 10*n + int(runes[0]-'0'); n > math.MaxInt32 {
				fail("ValueError", "Too many decimal digits in format string")
			}
			runes = runes[1:]
		}
		return n
	}
	if s.sign = take("+- "); s.sign == '-' {
		s.sign = 0
	}
	s.alternate = take("#") != 0
	if take("0") != 0 && !filled {
		s.fill = "0"
		if s.align == 0 {
			s.align = '='
		}
	}
	s.width = count()
	s.comma = take(",_")
	if take(".") != 0 {
		if len(runes) == 0 || runes[0] < '0' || runes[0] > '9' {
			fail("ValueError", "Format specifier missing precision")
		}
		s.precision = count()
	}
	if len(runes) > 0 && runes[0] < 128 {
		s.verb = byte(runes[0])
		runes = runes[1:]
	}
	if len(runes) > 0 {
		fail("ValueError", "Invalid format specifier %s", reprString(how))
	}
	return s
}
