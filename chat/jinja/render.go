package jinja

import (
	"fmt"
	"time"
)

// Render returns the text of the template with the variables. It may be called from several
// goroutines at once if none of them changes a value of the variables. An error is an [*Error].
func (t *Template) Render(variables map[string]Value, limits Limits) (out string, err error) {
	r := &renderer{now: time.Now}
	return r.render(t, variables, limits)
}

func (r *renderer) render(t *Template, variables map[string]Value, limits Limits) (out string, err error) {
	defer recovered(&err, func() int { return r.line })
	r.Limits = limits.withDefaults()
	r.deadline = time.Now().Add(r.Time)
	r.root = &scope{variables: variables}
	r.top = &scope{parent: r.root}
	r.out = &builder{m: &r.meter}
	r.run(t.body, r.top)
	return r.out.String(), nil
}

// renderer renders a template once.
type renderer struct {
	meter
	root     *scope // the variables
	top      *scope // what the template sets outside of loops, macros and the like
	out      *builder
	line     int
	now      func() time.Time
	constant bool // a slice is evaluated that Python computes when it compiles
}

// scope holds variables. Names are looked up in it and then in its parents.
type scope struct {
	variables map[string]Value
	parent    *scope
}

func (s *scope) inner() *scope { return &scope{parent: s} }

func (s *scope) set(name string, v Value) {
	if s.variables == nil {
		s.variables = map[string]Value{}
	}
	s.variables[name] = v
}

func (s *scope) get(name string) Value {
	for ; s != nil; s = s.parent {
		if v, ok := s.variables[name]; ok {
			return v
		}
	}
	if v, ok := globals[name]; ok {
		return v
	}
	return undefinedName(name)
}

// flow says how a statement ends.
type flow int

const (
	flowOn flow = iota
	flowBreak
	flowContinue
)

func (r *renderer) print(s string) {
	if len(s) > r.Output-r.out.b.Len() {
		exceeded("it prints more than %d bytes", r.Output)
	}
	r.out.str(s)
}

// piece is what a call or filter block prints, which Python does not turn into a string.
func piece(v Value) string {
	s, ok := text(v)
	if !ok {
		fail("TypeError", "sequence item 0: expected str instance, %s found", typeName(v))
	}
	return s
}

// capture returns what f prints.
func (r *renderer) capture(f func()) string {
	outer := r.out
	r.out = &builder{m: &r.meter}
	f()
	s := r.out.String()
	r.out = outer
	return s
}

// run runs statements.
func (r *renderer) run(nodes []node, s *scope) flow {
	r.enter()
	defer r.leave()
	for _, n := range nodes {
		if f := r.node(n, s); f != flowOn {
			return f
		}
	}
	return flowOn
}

func (r *renderer) node(n node, s *scope) flow {
	r.tick(1)
	switch n := n.(type) {
	case *textNode:
		r.print(n.text)
	case *printNode:
		r.line = n.line
		for _, x := range n.values {
			r.print(r.str(r.eval(x, s)))
		}
	case *ifNode:
		r.line = n.line
		for _, b := range n.branches {
			if truth(r.eval(b.test, s)) {
				return r.run(b.body, s)
			}
		}
		return r.run(n.other, s)
	case *forNode:
		r.line = n.line
		if !n.recursive {
			r.loop(n, r.eval(n.iter, s), s, 0)
			break
		}
		r.print(r.recurse(n, r.eval(n.iter, s), s, 0))
	case *setNode:
		r.line = n.line
		r.assign(n.target, r.eval(n.value, s), s)
	case *setBlockNode:
		r.line = n.line
		var f flow
		var v Value = r.capture(func() { f = r.run(n.body, s.inner()) })
		if f != flowOn {
			return f
		}
		if n.filter != nil {
			v = r.filterText(n.filter, v.(string), s)
		}
		r.assign(n.target, v, s)
	case *withNode:
		r.line = n.line
		inner := s.inner()
		for i, target := range n.targets {
			r.assign(target, r.eval(n.values[i], s), inner)
		}
		return r.run(n.body, inner)
	case *macroNode:
		s.set(n.name, &macro{name: n.name, macroBody: &n.macroBody, scope: s})
	case *callNode:
		r.line = n.line
		caller := &macro{name: "caller", macroBody: &n.macroBody, scope: s}
		r.print(piece(r.callWith(n.call, s, argument{"caller", caller})))
	case *filterNode:
		r.line = n.line
		var f flow
		text := r.capture(func() { f = r.run(n.body, s.inner()) })
		if f != flowOn {
			return f
		}
		r.print(piece(r.filterText(n.filter, text, s)))
	case *scopeNode:
		r.line = n.line
		if n.block {
			s = r.top
		}
		return r.run(n.body, s.inner())
	case *breakNode:
		return flowBreak
	case *continueNode:
		return flowContinue
	default:
		panic(fmt.Sprintf("a node of type %T", n))
	}
	return flowOn
}

// filterText applies the filters of a block to its text.
func (r *renderer) filterText(x expr, text string, s *scope) Value {
	f := x.(*filterExpr)
	var v Value = text
	if f.x != nil {
		v = r.filterText(f.x, text, s)
	}
	return r.filter(f, v, s)
}

// assign sets what a target names.
func (r *renderer) assign(target expr, v Value, s *scope) {
	switch t := target.(type) {
	case *nameExpr:
		s.set(t.name, v)
	case *nsExpr:
		ns, ok := s.get(t.name).(*namespace)
		if !ok {
			fail("TemplateRuntimeError", "cannot assign attribute on non-namespace object %s", t.name)
		}
		r.take(pairBytes)
		ns.dict.set(t.attr, v)
	case *tupleExpr:
		next := iter(v)
		var items []Value
		for item, ok := next(); ok; item, ok = next() {
			if items = append(items, item); len(items) > len(t.items) {
				fail("ValueError", "too many values to unpack (expected %d)", len(t.items))
			}
		}
		if len(items) < len(t.items) {
			fail("ValueError", "not enough values to unpack (expected %d, got %d)", len(t.items), len(items))
		}
		for i, target := range t.items {
			r.assign(target, items[i], s)
		}
	}
}

// loopValue is the variable loop.
type loopValue struct {
	items    []Value
	at       int
	depth    int
	changed  Value
	recurse  func(Value) Value // nil if the loop is not recursive
	anything bool              // changed has been called
}

func (l *loopValue) length() int { return len(l.items) }

// loop runs a loop over v.
func (r *renderer) loop(n *forNode, v Value, s *scope, depth int) {
	items := r.items(v)
	if n.test != nil {
		var kept []Value
		for _, item := range items {
			inner := s.inner()
			r.assign(n.target, item, inner)
			if truth(r.eval(n.test, inner)) {
				kept = append(kept, item)
			}
		}
		items = kept
	}
	l := &loopValue{items: items, depth: depth}
	if n.recursive {
		l.recurse = func(v Value) Value { return r.recurse(n, v, s, depth+1) }
	}
	// Python runs the other body unless some turn has come to its end.
	ended := false
	for i, item := range items {
		l.at = i
		r.take(pairBytes)
		inner := s.inner()
		inner.set("loop", l)
		r.assign(n.target, item, inner)
		switch r.run(n.body, inner) {
		case flowOn:
			ended = true
			continue
		case flowContinue:
			continue
		case flowBreak:
		}
		break
	}
	if n.hasOther && !ended {
		r.run(n.other, s.inner())
	}
}

// recurse runs a recursive loop, and returns what it prints.
func (r *renderer) recurse(n *forNode, v Value, s *scope, depth int) string {
	defer r.call()()
	return r.capture(func() { r.loop(n, v, s, depth) })
}

// macro is a macro or the body of a call block.
type macro struct {
	name string
	*macroBody
	scope *scope // where it is defined
}

// invoke calls a macro.
func (r *renderer) invoke(m *macro, args []Value, keywords []argument) Value {
	defer r.call()()
	line := r.line
	inner := m.scope.inner()
	given := map[string]bool{}
	for i, name := range m.params {
		if i < len(args) {
			inner.set(name, args[i])
			given[name] = true
		}
	}
	rest := NewDict()
	var caller Value
	for _, k := range keywords {
		isParam := false
		for i, name := range m.params {
			if k.name == name && i >= len(args) {
				isParam = true
			}
		}
		switch {
		case isParam:
			inner.set(k.name, k.value)
			given[k.name] = true
		case k.name == "caller" && m.caller:
			caller = k.value
		default:
			rest.set(k.name, k.value)
		}
	}
	if m.caller {
		if caller == nil {
			caller = &undefined{"No caller defined", "UndefinedError"}
		}
		inner.set("caller", caller)
	}
	switch {
	case m.kwargs:
		inner.set("kwargs", rest)
	case len(rest.keys) > 0:
		fail("TypeError", "macro %s takes no keyword argument %s", reprString(m.name), r.repr(rest.keys[0]))
	}
	extra := args[min(len(args), len(m.params)):]
	switch {
	case m.varargs:
		inner.set("varargs", &tuple{items: extra})
	case len(extra) > 0:
		fail("TypeError", "macro %s takes not more than %d argument(s)", reprString(m.name), len(m.params))
	}
	// A default sees the parameters before it, and itself and those after it as missing.
	for _, name := range m.params {
		if !given[name] {
			inner.set(name, &undefined{"parameter " + reprString(name) + " was not provided", "UndefinedError"})
		}
	}
	for i, name := range m.params {
		if at := i - (len(m.params) - len(m.defaults)); at >= 0 && !given[name] {
			inner.set(name, r.eval(m.defaults[at], inner))
		}
	}
	out := r.capture(func() { r.run(m.body, inner) })
	r.line = line
	return out
}
