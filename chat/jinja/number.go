package jinja

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

const (
	maxBits   = 1 << 16 // of an integer
	maxDigits = 4300    // Python refuses to print more
)

func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }

// normal is i as a Value.
func normal(i *big.Int) Value {
	if i.IsInt64() {
		return i.Int64()
	}
	if i.BitLen() > maxBits {
		exceeded("an integer has more than %d bits", maxBits)
	}
	return i
}

// isNumber reports whether v is an int, a bool or a float.
func isNumber(v Value) bool {
	_, float := v.(float64)
	return float || isInt(v)
}

func isInt(v Value) bool {
	switch v.(type) {
	case bool, int64, *big.Int:
		return true
	}
	return false
}

// small is v as an int, and whether v is an integer that fits.
func small(v Value) (int, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return int(v), int64(int(v)) == v
	}
	return 0, false
}

func bigOf(v Value) *big.Int {
	switch v := v.(type) {
	case *big.Int:
		return v
	case int64:
		return big.NewInt(v)
	case bool:
		if v {
			return big.NewInt(1)
		}
	}
	return new(big.Int)
}

// floatOf is an int or float as a float.
func floatOf(v Value) float64 {
	if f, ok := v.(float64); ok {
		return f
	}
	if n, ok := small(v); ok {
		return float64(n)
	}
	f, _ := new(big.Float).SetInt(bigOf(v)).Float64()
	if math.IsInf(f, 0) {
		fail("OverflowError", "int too large to convert to float")
	}
	return f
}

func compareNumbers(a, b Value) (order int, ordered bool) {
	x, isFloat := a.(float64)
	y, other := b.(float64)
	switch {
	case isFloat && math.IsNaN(x) || other && math.IsNaN(y):
		return 0, false
	case isFloat && other:
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, true
	case isFloat:
		order, _ := compareNumbers(b, a)
		return -order, true
	case other:
		if math.IsInf(y, 0) {
			return -int(math.Copysign(1, y)), true
		}
		return new(big.Float).SetPrec(maxBits).SetInt(bigOf(a)).Cmp(big.NewFloat(y)), true
	}
	m, ok := small(a)
	n, fits := small(b)
	if ok && fits {
		switch {
		case m < n:
			return -1, true
		case m > n:
			return 1, true
		}
		return 0, true
	}
	return bigOf(a).Cmp(bigOf(b)), true
}

// formatInt is Python's str of an integer.
func formatInt(v Value) string {
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10)
	}
	s := bigOf(v).String()
	if len(strings.TrimPrefix(s, "-")) > maxDigits {
		fail("ValueError", "Exceeds the limit (%d digits) for integer string conversion", maxDigits)
	}
	return s
}

// formatFloat is Python's repr of a float.
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		format = 'e'
	}
	s := strconv.FormatFloat(f, format, -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// arithmetic is Python's a sign b.
func (r *renderer) arithmetic(sign string, a, b Value) Value {
	r.tick(1)
	if s, ok := a.(string); ok && sign == "%" {
		return r.formatPercent(s, b)
	}
	use(a)
	use(b)
	if _, ok := a.(markup); ok && sign == "%" {
		unsupported("%% of an escaped string")
	}
	switch sign {
	case "+":
		if v, ok := r.join(a, b); ok {
			return v
		}
	case "*":
		if isInt(a) && !isInt(b) {
			a, b = b, a
			if v, ok := r.times(a, b); ok {
				return v
			}
			a, b = b, a
		} else if v, ok := r.times(a, b); ok {
			return v
		}
	}
	if !isNumber(a) || !isNumber(b) {
		if _, ok := a.(*view); ok && sign == "-" {
			unsupported("- of what keys, values or items returns")
		}
		fail("TypeError", "unsupported operand type(s) for %s: '%s' and '%s'", sign, typeName(a), typeName(b))
	}
	if isInt(a) && isInt(b) {
		return integers(sign, a, b)
	}
	return floats(sign, floatOf(a), floatOf(b))
}

// join is a + b of two sequences.
func (r *renderer) join(a, b Value) (Value, bool) {
	switch x := a.(type) {
	case string:
		switch y := b.(type) {
		case string:
			return r.concat(x, y), true
		case markup:
			return markup(r.concat(escape(x), string(y))), true
		}
	case markup:
		switch y := b.(type) {
		case string:
			return markup(r.concat(string(x), escape(y))), true
		case markup:
			return markup(r.concat(string(x), string(y))), true
		}
	case *List:
		if y, ok := b.(*List); ok {
			return &List{r.append(x.items, y.items)}, true
		}
	case *tuple:
		if y, ok := b.(*tuple); ok {
			return &tuple{items: r.append(x.items, y.items)}, true
		}
	}
	if _, ok := text(a); ok {
		fail("TypeError", `can only concatenate str (not "%s") to str`, typeName(b))
	}
	return nil, false
}

func (m *meter) append(a, b []Value) []Value {
	m.takeMany(len(a)+len(b), valueBytes)
	return append(append(make([]Value, 0, len(a)+len(b)), a...), b...)
}

// times is a sequence a repeated n times.
func (r *renderer) times(a, n Value) (Value, bool) {
	if !isInt(n) {
		return nil, false
	}
	count, ok := small(n)
	if !ok {
		if bigOf(n).Sign() < 0 {
			count = 0
		} else {
			count = math.MaxInt
		}
	}
	count = max(count, 0)
	many := func(items []Value) []Value {
		if len(items) == 0 || count == 0 {
			return nil
		}
		r.takeMany(count, len(items)*valueBytes)
		out := make([]Value, 0, len(items)*count)
		for range count {
			out = append(out, items...)
		}
		return out
	}
	switch a := a.(type) {
	case string:
		return r.repeat(a, count), true
	case markup:
		return markup(r.repeat(string(a), count)), true
	case *List:
		return &List{many(a.items)}, true
	case *tuple:
		return &tuple{items: many(a.items)}, true
	}
	return nil, false
}

func integers(sign string, a, b Value) Value {
	x, ok := small(a)
	y, fits := small(b)
	if ok && fits {
		switch sum := x + y; {
		case sign == "+" && (sum > x) == (y > 0):
			return int64(sum)
		case sign == "-" && (x-y < x) == (y > 0):
			return int64(x - y)
		}
	}
	m, n := bigOf(a), bigOf(b)
	if n.Sign() == 0 && (sign == "/" || sign == "//" || sign == "%") {
		fail("ZeroDivisionError", "division by zero")
	}
	out := new(big.Int)
	switch sign {
	case "+":
		return normal(out.Add(m, n))
	case "-":
		return normal(out.Sub(m, n))
	case "*":
		return normal(out.Mul(m, n))
	case "/":
		if m.Sign() == 0 {
			return math.Copysign(0, float64(n.Sign()))
		}
		f, _ := new(big.Rat).SetFrac(m, n).Float64()
		if math.IsInf(f, 0) {
			fail("OverflowError", "integer division result too large for a float")
		}
		return f
	case "//", "%":
		rest := new(big.Int)
		out.QuoRem(m, n, rest)
		if rest.Sign() != 0 && rest.Sign() != n.Sign() {
			out.Sub(out, big.NewInt(1))
			rest.Add(rest, n)
		}
		if sign == "//" {
			return normal(out)
		}
		return normal(rest)
	}
	// The power is left.
	if n.Sign() < 0 {
		return power(floatOf(a), floatOf(b))
	}
	if bits := m.BitLen(); bits > 1 && (!n.IsInt64() || n.Int64() > maxBits || int64(bits-1)*n.Int64() > maxBits) {
		exceeded("an integer has more than %d bits", maxBits)
	}
	return normal(out.Exp(m, n, nil))
}

func floats(sign string, x, y float64) Value {
	switch sign {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return power(x, y)
	}
	if y == 0 {
		fail("ZeroDivisionError", "float division by zero")
	}
	if sign == "/" {
		return x / y
	}
	rest := math.Mod(x, y)
	quotient := (x - rest) / y
	switch {
	case rest == 0:
		rest = math.Copysign(0, y)
	case (rest < 0) != (y < 0):
		rest += y
		quotient--
	}
	if sign == "%" {
		return rest
	}
	if quotient == 0 {
		return math.Copysign(0, x/y)
	}
	floor := math.Floor(quotient)
	if quotient-floor > 0.5 {
		floor++
	}
	return floor
}

func power(x, y float64) Value {
	if x == 0 && y < 0 {
		fail("ZeroDivisionError", "0.0 cannot be raised to a negative power")
	}
	if x < 0 && y != math.Trunc(y) && !math.IsInf(x, 0) && !math.IsInf(y, 0) && !math.IsNaN(y) {
		unsupported("a complex number")
	}
	f := math.Pow(x, y)
	if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		fail("OverflowError", "the result of ** is too large")
	}
	return f
}

// negate is Python's sign x for the signs - and +.
func negate(sign string, v Value) Value {
	use(v)
	switch {
	case isInt(v) && sign == "-":
		return normal(new(big.Int).Neg(bigOf(v)))
	case isInt(v):
		return normal(bigOf(v))
	}
	f, ok := v.(float64)
	if !ok {
		fail("TypeError", "bad operand type for unary %s: '%s'", sign, typeName(v))
	}
	if sign == "-" {
		return -f
	}
	return f
}

// parseInt is Python's int(s, base).
func parseInt(s string, base int) (Value, bool) {
	s = strings.TrimFunc(s, isSpace)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if base == 0 {
		unsupported("the base 0 of an integer")
	}
	for prefix, of := range map[string]int{"0b": 2, "0o": 8, "0x": 16} {
		if base == of && len(s) > 2 && strings.EqualFold(s[:2], prefix) {
			s = strings.TrimPrefix(s[2:], "_")
		}
	}
	if s == "" || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return nil, false
	}
	if !isASCII(s) {
		unsupported("an integer with digits beyond ASCII")
	}
	s = strings.ReplaceAll(s, "_", "")
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || len(s) > maxDigits {
		return nil, false
	}
	i, ok := new(big.Int).SetString(s, base)
	if !ok {
		return nil, false
	}
	if negative {
		i.Neg(i)
	}
	return normal(i), true
}

// parseFloat is Python's float(s).
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if !isASCII(s) {
		unsupported("a float with digits beyond ASCII")
	}
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") || strings.Contains(s, "__") {
		return 0, false
	}
	if strings.Contains(s, "_") {
		for i := range s {
			if s[i] == '_' && (i == 0 || i+1 == len(s) || !isDecimal(s[i-1]) || !isDecimal(s[i+1])) {
				return 0, false
			}
		}
		s = strings.ReplaceAll(s, "_", "")
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || isRange(err)
}
