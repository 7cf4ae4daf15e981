package jinja

import (
	"math"
	"math/big"
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
