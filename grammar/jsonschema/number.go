package jsonschema

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// maxNumber bounds whole numbers: 15 digits, which float64 keeps.
const maxNumber = 999_999_999_999_999

// bounds are the bounds of a number. An exclusive bound is not a valid number itself.
type bounds struct {
	lo, hi                   float64
	exclusiveLo, exclusiveHi bool
}

// bounds reads the bounds of s, and whether there are any.
func (c *converter) bounds(s *object, path string) (b bounds, some bool) {
	b = bounds{lo: -maxNumber, hi: maxNumber}
	for _, key := range []string{"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} {
		v, ok := s.get(key)
		if !ok {
			continue
		}
		n, ok := v.(json.Number)
		x, err := n.Float64()
		if !ok || err != nil && !math.IsInf(x, 0) {
			c.fail(path, "%s is %.50s: want a number", key, compact(v))
			continue
		}
		some = true
		exclusive := strings.HasPrefix(key, "exclusive")
		switch low := strings.HasSuffix(key, "inimum"); {
		case low && (x > b.lo || x == b.lo && exclusive):
			b.lo, b.exclusiveLo = x, exclusive
		case !low && (x < b.hi || x == b.hi && exclusive):
			b.hi, b.exclusiveHi = x, exclusive
		}
	}
	if b.lo > b.hi || b.lo == b.hi && (b.exclusiveLo || b.exclusiveHi) || b.lo > maxNumber || b.hi < -maxNumber {
		c.fail(path, "no number of at most 15 digits lies within the bounds %v and %v", b.lo, b.hi)
		b = bounds{lo: 0, hi: 1}
	}
	return b, some
}

// integer returns an expression for whole numbers.
func (c *converter) integer(s *object, path string) string {
	if v, ok := s.get("multipleOf"); ok {
		if n, isNumber := v.(json.Number); !isNumber || !sameNumber(n, "1") {
			c.fail(path, "multipleOf is not supported")
		}
	}
	b, some := c.bounds(s, path)
	if !some {
		return c.builtin("integer")
	}
	lo, hi := int64(math.Ceil(b.lo)), int64(math.Floor(b.hi))
	if b.exclusiveLo && float64(lo) == b.lo {
		lo++
	}
	if b.exclusiveHi && float64(hi) == b.hi {
		hi--
	}
	if lo > hi {
		return c.fail(path, "no whole number lies within the bounds %v and %v", b.lo, b.hi)
	}
	var exprs []string
	if lo < 0 {
		exprs = append(exprs, `"-" (`+wholes(max(1, -hi), -lo)+")")
	}
	if hi >= 0 {
		exprs = append(exprs, wholes(max(lo, 0), hi))
	}
	return strings.Join(exprs, " | ")
}

// number returns an expression for numbers. With bounds there is no exponent.
func (c *converter) number(s *object, path string) string {
	if s.has("multipleOf") {
		c.fail(path, "multipleOf is not supported")
	}
	b, some := c.bounds(s, path)
	switch {
	case !some:
		return c.builtin("number")
	case b.lo != math.Trunc(b.lo) || b.hi != math.Trunc(b.hi):
		return c.fail(path, "the bounds %v and %v of a number are not whole: that is not supported", b.lo, b.hi)
	}
	var exprs []string
	lo, hi := int64(b.lo), int64(b.hi)
	if hi >= 0 {
		exprs = append(exprs, magnitudes(max(lo, 0), hi, b.exclusiveLo && lo >= 0, b.exclusiveHi)...)
	}
	if lo < 0 {
		// Zero is written without a sign.
		for _, m := range magnitudes(max(-hi, 0), -lo, hi >= 0 || b.exclusiveHi, b.exclusiveLo) {
			exprs = append(exprs, `"-" `+m)
		}
	}
	if len(exprs) == 0 {
		return c.fail(path, "no number lies within the bounds %v and %v", b.lo, b.hi)
	}
	return strings.Join(exprs, " | ")
}

// magnitudes returns expressions for the numbers without a sign from lo to hi; withoutLo and
// withoutHi exclude the bounds.
func magnitudes(lo, hi int64, withoutLo, withoutHi bool) (exprs []string) {
	const fraction, above = ` ("." [0-9]{1,15})?`, ` "." [0-9]{0,14} [1-9]`
	if lo < hi {
		if withoutLo {
			exprs = append(exprs, quote(strconv.FormatInt(lo, 10))+above)
		} else {
			exprs = append(exprs, quote(strconv.FormatInt(lo, 10))+fraction)
		}
		if lo+1 < hi {
			exprs = append(exprs, "("+wholes(lo+1, hi-1)+")"+fraction)
		}
	}
	if !withoutHi && (lo < hi || !withoutLo) {
		exprs = append(exprs, quote(strconv.FormatInt(hi, 10)))
	}
	return exprs
}

// wholes returns an expression for the whole numbers from lo to hi, which are not negative.
func wholes(lo, hi int64) string {
	var exprs []string
	for lo <= hi {
		text := strconv.FormatInt(lo, 10)
		end := min(hi, pow10(len(text))-1) // with as many digits
		exprs = append(exprs, digits(text, strconv.FormatInt(end, 10)))
		lo = end + 1
	}
	return strings.Join(exprs, " | ")
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// digits returns an expression for the texts of digits from lo to hi, which have the same length.
func digits(lo, hi string) string {
	n := len(lo)
	switch {
	case lo == hi:
		return quote(lo)
	case strings.Trim(lo, "0") == "" && strings.Trim(hi, "9") == "":
		return anyDigits(n)
	case n == 1:
		return "[" + lo + "-" + hi + "]"
	case lo[0] == hi[0]:
		return quote(lo[:1]) + " (" + digits(lo[1:], hi[1:]) + ")"
	}
	var exprs []string
	first, last := lo[0], hi[0]
	if strings.Trim(lo[1:], "0") != "" {
		exprs = append(exprs, quote(lo[:1])+" ("+digits(lo[1:], strings.Repeat("9", n-1))+")")
		first++
	}
	tail := ""
	if strings.Trim(hi[1:], "9") != "" {
		tail = quote(hi[:1]) + " (" + digits(strings.Repeat("0", n-1), hi[1:]) + ")"
		last--
	}
	if first <= last {
		exprs = append(exprs, "["+string(first)+"-"+string(last)+"] "+anyDigits(n-1))
	}
	if tail != "" {
		exprs = append(exprs, tail)
	}
	return strings.Join(exprs, " | ")
}

func anyDigits(n int) string {
	if n == 1 {
		return "[0-9]"
	}
	return "[0-9]{" + strconv.Itoa(n) + "}"
}
