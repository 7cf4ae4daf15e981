package jinja

import (
	"math"
	"slices"
	"strconv"
	"unicode"
)

// tests are Jinja's tests, by name; the value is how many arguments they take.
var tests = map[string]int{
	"odd": 0, "even": 0, "divisibleby": 1, "defined": 0, "undefined": 0, "filter": 0, "test": 0, "none": 0, "boolean": 0,
	"false": 0, "true": 0, "integer": 0, "float": 0, "lower": 0, "upper": 0, "string": 0, "mapping": 0, "number": 0,
	"sequence": 0, "iterable": 0, "callable": 0, "sameas": 1, "escaped": 0, "in": 1, "==": 1, "eq": 1, "equalto": 1,
	"!=": 1, "ne": 1, ">": 1, "gt": 1, "greaterthan": 1, "ge": 1, ">=": 1, "<": 1, "lt": 1, "lessthan": 1, "<=": 1, "le": 1,
}

// comparisonTests are the tests that stand for a sign.
var comparisonTests = map[string]string{
	"eq": "==", "equalto": "==", "ne": "!=", "gt": ">", "greaterthan": ">", "ge": ">=", "lt": "<", "lessthan": "<", "le": "<=",
	"==": "==", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "in": "in",
}

// testParams are the names of arguments that a test can be given by name.
var testParams = map[string]string{"divisibleby": "num", "sameas": "other", "in": "seq"}

func checkTest(name string, line int) {
	if _, ok := tests[name]; !ok {
		panic(&Error{Line: line, Kind: "TemplateAssertionError", Text: "no test named " + strconv.Quote(name)})
	}
}

// test is what "v is name" is.
func (r *renderer) test(name string, v Value, args []Value, keywords []argument) Value {
	checkTest(name, r.line)
	if param := testParams[name]; param != "" {
		args = bind(name, args, keywords, param)
	} else {
		positional(name, args, keywords, tests[name], tests[name])
	}
	if sign, ok := comparisonTests[name]; ok {
		return r.compareWith(sign, v, args[0])
	}
	switch name {
	case "odd":
		return r.equal(r.arithmetic("%", v, int64(2)), int64(1))
	case "even":
		return r.equal(r.arithmetic("%", v, int64(2)), int64(0))
	case "divisibleby":
		return r.equal(r.arithmetic("%", v, args[0]), int64(0))
	case "defined":
		_, ok := v.(*undefined)
		return !ok
	case "undefined":
		_, ok := v.(*undefined)
		return ok
	case "filter":
		return r.isName(v, func(s string) bool {
			_, ok := filters[s]
			return ok || slices.Contains(otherFilters, s)
		})
	case "test":
		return r.isName(v, func(s string) bool {
			_, ok := tests[s]
			return ok
		})
	case "none":
		return v == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "false":
		return v == false
	case "true":
		return v == true
	case "integer":
		_, isBool := v.(bool)
		return isInt(v) && !isBool
	case "float":
		_, ok := v.(float64)
		return ok
	case "lower":
		return cased(r.str(v), unicode.IsLower, unicode.IsUpper)
	case "upper":
		return cased(r.str(v), unicode.IsUpper, unicode.IsLower)
	case "string":
		_, ok := text(v)
		return ok
	case "mapping":
		_, ok := v.(*Dict)
		return ok
	case "number":
		return isNumber(v)
	case "sequence":
		switch v.(type) {
		case string, markup, *List, *tuple, *Dict, *rangeValue:
			return true
		case *undefined:
			// It has __len__, and asking it for __getitem__ finds the method that fails.
			return true
		}
		return false
	case "iterable":
		if _, ok := v.(markup); ok {
			return true
		}
		if _, ok := v.(*loopValue); ok {
			return true
		}
		_, ok := iterate(v)
		return ok
	case "callable":
		return callable(v)
	case "sameas":
		return r.identical(v, args[0])
	default: // escaped
		_, ok := v.(markup)
		return ok
	}
}

func (r *renderer) isName(v Value, known func(string) bool) bool {
	s, ok := text(v)
	if !ok {
		if !hashable(v) {
			fail("TypeError", "unhashable type: '%s'", typeName(v))
		}
		return false
	}
	return known(s)
}

// identical is Python's a is b, which for numbers and strings depends on how Python keeps them.
func (r *renderer) identical(a, b Value) bool {
	if typeName(a) != typeName(b) {
		return false
	}
	switch a := a.(type) {
	case nil, bool:
		return a == b
	case int64:
		if a != b {
			return false
		}
		if -5 <= a && a <= 256 {
			return true
		}
	case float64:
		if b := b.(float64); a != b && !math.IsNaN(a) {
			return false
		}
	case string:
		if a != b {
			return false
		}
	case *function, *tuple:
		if a != b {
			return false
		}
		return true
	default:
		return a == b
	}
	unsupported("the test sameas of two equal values of type %s", typeName(a))
	return false
}
