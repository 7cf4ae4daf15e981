package jinja

import (
	"math"
	"math/big"
	"strings"
)

// These are keys of a map for values that are none themselves: see hashOf.
type (
	bigKey       string
	tupleKey     string
	undefinedKey struct{}
	noneKey      struct{}
)

// hashOf is a key of a map that stands for v: two that Python calls equal have the same one.
func hashOf(v Value) any {
	switch v := v.(type) {
	case nil:
		return noneKey{}
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case int64:
		return v
	case *big.Int:
		return bigKey(v.String())
	case float64:
		switch {
		case math.IsNaN(v):
			unsupported("nan as the key of a dict")
		case v == math.Trunc(v) && v >= -0x1p63 && v < 0x1p63:
			return int64(v)
		case v == math.Trunc(v) && !math.IsInf(v, 0):
			i, _ := big.NewFloat(v).Int(nil)
			return bigKey(i.String())
		}
		return v
	case string:
		return v
	case markup:
		return string(v)
	case *tuple:
		var b strings.Builder
		for _, item := range v.items {
			s := reprKey(hashOf(item))
			b.WriteString(s)
			b.WriteByte(0)
			if b.Len() > 1<<20 {
				exceeded("a tuple that is a key has more than %d bytes", 1<<20)
			}
		}
		return tupleKey(b.String())
	case *undefined:
		return undefinedKey{}
	case *List, *Dict, *view:
		fail("TypeError", "unhashable type: '%s'", typeName(v))
	case *rangeValue:
		unsupported("a range as the key of a dict")
	}
	return v
}

// equal is Python's a == b.
func (m *meter) equal(a, b Value) bool {
	m.enter()
	defer m.leave()
	if s, ok := text(a); ok {
		t, ok := text(b)
		m.tick(min(len(s), len(t)) / 64)
		return ok && s == t
	}
	if isNumber(a) && isNumber(b) {
		c, ordered := compareNumbers(a, b)
		return ordered && c == 0
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case *List:
		b, ok := b.(*List)
		return ok && (a == b || m.equalItems(a.items, b.items))
	case *tuple:
		b, ok := b.(*tuple)
		return ok && (a == b || m.equalItems(a.items, b.items))
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for i, key := range a.keys {
			if other, ok := b.get(key); !ok || !m.same(a.values[i], other) {
				return false
			}
		}
		return true
	case *rangeValue:
		b, ok := b.(*rangeValue)
		return ok && a.length == b.length && (a.length == 0 || a.start == b.start && (a.length == 1 || a.step == b.step))
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case *view:
		if _, ok := b.(*view); ok {
			unsupported("comparing what keys, values or items returns")
		}
		return false
	case *function:
		if _, ok := b.(*function); ok {
			unsupported("comparing functions")
		}
		return false
	}
	return a == b
}

// same is equal for items of containers, which Python takes for equal without a look if they are
// one object.
func (m *meter) same(a, b Value) bool {
	x, isFloat := a.(float64)
	y, other := b.(float64)
	if isFloat && other && math.IsNaN(x) && math.IsNaN(y) {
		unsupported("comparing lists that contain nan")
	}
	return m.equal(a, b)
}

func (m *meter) equalItems(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !m.same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// compare returns the order of a and b, which is false where one of them is not a number, or fails
// as Python does.
func (m *meter) compare(sign string, a, b Value) (order int, ordered bool) {
	m.enter()
	defer m.leave()
	use(a)
	use(b)
	s, ok := text(a)
	t, other := text(b)
	if ok && other {
		return strings.Compare(s, t), true
	}
	if isNumber(a) && isNumber(b) {
		return compareNumbers(a, b)
	}
	x, y := sequence(a), sequence(b)
	if x != nil && y != nil && typeName(a) == typeName(b) {
		for i := range min(len(*x), len(*y)) {
			if !m.same((*x)[i], (*y)[i]) {
				return m.compare(sign, (*x)[i], (*y)[i])
			}
		}
		return len(*x) - len(*y), true
	}
	if _, ok := a.(*view); ok {
		unsupported("comparing what keys, values or items returns")
	}
	fail("TypeError", "'%s' not supported between instances of '%s' and '%s'", sign, typeName(a), typeName(b))
	return 0, false
}

// sequence is the items of a list or tuple, or nil.
func sequence(v Value) *[]Value {
	switch v := v.(type) {
	case *List:
		return &v.items
	case *tuple:
		return &v.items
	}
	return nil
}

// less orders values for sorting.
func (m *meter) less(a, b Value) bool {
	order, ordered := m.compare("<", a, b)
	return ordered && order < 0
}
