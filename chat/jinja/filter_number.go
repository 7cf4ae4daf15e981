package jinja

import (
	"math"
	"math/big"
	"strconv"
)

// addNumberFilters adds the filters of numbers.
func addNumberFilters(add addFunc) {
	add("abs", absFilter)
	add("int", intFilter, "default?", "base?")
	add("float", func(r *renderer, v Value, a []Value) Value {
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
	add("round", roundFilter, "precision?", "method?")
	add("sum", func(r *renderer, v Value, a []Value) Value {
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
