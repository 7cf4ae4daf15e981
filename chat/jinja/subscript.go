package jinja

import (
	"math"
	"math/big"
	"slices"
	"strings"
)

// item is object[key] in a template: the item, or else the attribute.
func (r *renderer) item(object, key Value) Value {
	use(object)
	if v, ok := r.subscript(object, key); ok {
		return v
	}
	if name, ok := text(key); ok {
		if v, ok := r.python(object, name); ok {
			return safe(object, name, v)
		}
		return noAttribute(object, name)
	}
	return &undefined{typeName(object) + " object has no element " + r.describe(key), "UndefinedError"}
}

// subscript is Python's object[key]. ok is false if that is a TypeError or a LookupError.
func (r *renderer) subscript(object, key Value) (v Value, ok bool) {
	if d, isDict := object.(*Dict); isDict {
		if !hashable(key) {
			return nil, false
		}
		return d.get(key)
	}
	if !isInt(key) {
		return nil, false
	}
	at, fits := small(key)
	index := func(n int) bool {
		if at < 0 {
			at += n
		}
		return fits && 0 <= at && at < n
	}
	switch o := object.(type) {
	case *List:
		if index(len(o.items)) {
			return o.items[at], true
		}
	case *tuple:
		if index(len(o.items)) {
			return o.items[at], true
		}
	case *rangeValue:
		if index(o.length) {
			return int64(o.start + at*o.step), true
		}
	case string:
		if r.tick(len(o) / 64); index(runeCount(o)) {
			return runesOf(o, at, at+1), true
		}
	case markup:
		unsupported("an item of an escaped string")
	}
	return nil, false
}

func hashable(v Value) bool {
	switch v := v.(type) {
	case *List, *Dict, *view:
		return false
	case *tuple:
		return !slices.ContainsFunc(v.items, func(item Value) bool { return !hashable(item) })
	}
	return true
}

// runesOf is the runes of s from start to stop.
func runesOf(s string, start, stop int) string {
	if isASCII(s) {
		return s[start:stop]
	}
	from, n := len(s), 0
	for i := range s {
		if n == start {
			from = i
		}
		if n == stop {
			return s[min(from, i):i]
		}
		n++
	}
	return s[from:]
}

// index is an integer as a bound of a slice, cut to what an int holds.
func index(v Value) int {
	if !isInt(v) {
		fail("TypeError", "slice indices must be integers or None or have an __index__ method")
	}
	if n, ok := small(v); ok {
		return n
	}
	if v.(*big.Int).Sign() < 0 {
		return math.MinInt / 2
	}
	return math.MaxInt / 2
}

// slice is Python's object[start:stop:step].
func (r *renderer) slice(object, startValue, stopValue, stepValue Value) Value {
	use(object)
	n := 0
	switch o := object.(type) {
	case string:
		n = runeCount(o)
	case *List:
		n = len(o.items)
	case *tuple:
		n = len(o.items)
	case *rangeValue:
		n = o.length
	case markup:
		unsupported("a slice of an escaped string")
	case *Dict:
		fail("TypeError", "unhashable type: 'slice'")
	default:
		fail("TypeError", "'%s' object is not subscriptable", typeName(object))
	}
	step := 1
	if stepValue != nil {
		step = index(stepValue)
	}
	if step == 0 {
		fail("ValueError", "slice step cannot be zero")
	}
	step = min(max(step, -math.MaxInt/4), math.MaxInt/4)
	bound := func(v Value, otherwise, least, most int) int {
		if v == nil {
			return otherwise
		}
		i := index(v)
		if i < 0 {
			i += n
		}
		return min(max(i, least), most)
	}
	var start, stop int
	if step > 0 {
		start, stop = bound(startValue, 0, 0, n), bound(stopValue, n, 0, n)
	} else {
		start, stop = bound(startValue, n-1, -1, n-1), bound(stopValue, -1, -1, n-1)
	}
	count := 0
	switch {
	case step > 0 && start < stop:
		count = (stop-start-1)/step + 1
	case step < 0 && stop < start:
		count = (start-stop-1)/-step + 1
	}
	many := func(items []Value) []Value {
		r.takeMany(count, valueBytes)
		out := make([]Value, count)
		for i := range out {
			out[i] = items[start+i*step]
		}
		return out
	}
	switch o := object.(type) {
	case string:
		if step == 1 {
			r.take(len(o) / 8)
			return runesOf(o, start, start+count)
		}
		r.takeMany(n, 4)
		runes := []rune(o)
		out := make([]rune, count)
		for i := range out {
			out[i] = runes[start+i*step]
		}
		return string(out)
	case *List:
		return &List{many(o.items)}
	case *tuple:
		return &tuple{items: many(o.items)}
	}
	v := object.(*rangeValue)
	if count == 0 {
		unsupported("an empty slice of a range")
	}
	from := v.start + start*v.step
	if stop < 0 || step != 1 && step != -1 {
		unsupported("a slice of a range with a step")
	}
	return &rangeValue{from, from + count*v.step*step, v.step * step, count}
}

// contains is Python's v in container.
func (r *renderer) contains(container, v Value) bool {
	switch c := container.(type) {
	case *undefined:
		return false
	case string, markup:
		s, _ := text(c)
		part, ok := text(v)
		if !ok {
			fail("TypeError", "'in <string>' requires string as left operand, not %s", typeName(v))
		}
		r.tick((len(s) + len(part)) / 16)
		return strings.Contains(s, part)
	case *Dict:
		_, ok := c.get(v)
		return ok
	case *view:
		if c.of == "keys" {
			_, ok := c.dict.get(v)
			return ok
		}
	}
	next, ok := iterate(container)
	if !ok {
		fail("TypeError", "argument of type '%s' is not iterable", typeName(container))
	}
	for {
		item, ok := next()
		if !ok {
			return false
		}
		if r.tick(1); r.same(item, v) {
			return true
		}
	}
}
