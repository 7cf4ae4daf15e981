package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// filterFunc is a filter. The first argument is what it is applied to.
type filterFunc func(r *renderer, v Value, args []Value, keywords []argument) Value

// filters are Jinja's, with transformers' tojson.
var filters map[string]filterFunc

// otherFilters are those that Jinja has and this package does not.
var otherFilters = []string{"pprint", "random", "striptags", "urlize", "wordwrap"}

func checkFilter(name string, line int) {
	if _, ok := filters[name]; ok {
		return
	}
	if slices.Contains(otherFilters, name) {
		panic(&Error{Line: line, Text: "the filter " + name + " is not supported", Err: ErrUnsupported})
	}
	panic(&Error{Line: line, Kind: "TemplateAssertionError", Text: "no filter named " + strconv.Quote(name)})
}

func (r *renderer) filter(x *filterExpr, v Value, s *scope) Value {
	args, keywords := r.evalArguments(x.args, s)
	checkFilter(x.name, x.line)
	return filters[x.name](r, v, args, keywords)
}

// soft is Python's soft_str: what v is as a string.
func (r *renderer) soft(v Value) string {
	if _, ok := v.(markup); ok {
		unsupported("a filter after escape or safe that changes the string")
	}
	s := r.str(v)
	r.take(len(s))
	return s
}

// optional is the value of an argument, or another one if the call does not have it.
func optional(v, otherwise Value) Value {
	if v == missing {
		return otherwise
	}
	return v
}

// addFunc adds a filter that takes arguments of those names, a ? behind a name for one that may be
// left out.
type addFunc func(name string, call func(r *renderer, v Value, a []Value) Value, params ...string)

func init() {
	filters = map[string]filterFunc{}
	add := func(name string, call func(r *renderer, v Value, a []Value) Value, params ...string) {
		filters[name] = func(r *renderer, v Value, args []Value, keywords []argument) Value {
			r.tick(1)
			return call(r, v, bind(name, args, keywords, params...))
		}
	}
	addStringFilters(add)
	addNumberFilters(add)
	addSequenceFilters(add)
	addValueFilters(add)
	filters["format"] = formatFilter
	filters["map"] = mapFilter
	for _, name := range []string{"select", "reject", "selectattr", "rejectattr"} {
		filters[name] = func(r *renderer, v Value, args []Value, keywords []argument) Value {
			return r.choose(v, args, keywords, strings.HasPrefix(name, "reject"), strings.HasSuffix(name, "attr"))
		}
	}
}

// addValueFilters adds the filters of all values.
func addValueFilters(add addFunc) {
	for _, name := range []string{"default", "d"} {
		add(name, func(_ *renderer, v Value, a []Value) Value {
			if _, ok := v.(*undefined); ok || truth(optional(a[1], false)) && !truth(v) {
				return optional(a[0], "")
			}
			return v
		}, "default_value?", "boolean?")
	}
	add("attr", func(r *renderer, v Value, a []Value) Value {
		use(v)
		name, ok := a[0].(string)
		if !ok {
			fail("TypeError", "attribute name must be string, not '%s'", typeName(a[0]))
		}
		if found, ok := r.python(v, name); ok {
			return safe(v, name, found)
		}
		return noAttribute(v, name)
	}, "name")
}
