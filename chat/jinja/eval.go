package jinja

import "fmt"

// eval computes an expression.
func (r *renderer) eval(x expr, s *scope) Value {
	r.enter()
	defer r.leave()
	switch x := x.(type) {
	case *constExpr:
		return x.value
	case *nameExpr:
		return s.get(x.name)
	case *listExpr:
		return &List{r.evalAll(x.items, s)}
	case *tupleExpr:
		return &tuple{items: r.evalAll(x.items, s)}
	case *dictExpr:
		d := NewDict()
		r.takeMany(len(x.keys), pairBytes)
		for i, key := range x.keys {
			k := r.eval(key, s)
			d.set(k, r.eval(x.values[i], s))
		}
		return d
	case *attrExpr:
		return r.attribute(r.eval(x.object, s), x.name)
	case *itemExpr:
		object := r.eval(x.object, s)
		if bounds, ok := x.key.(*sliceExpr); ok {
			if x.constant && !r.constant {
				// Python computes it when it compiles, where what is an error elsewhere is
				// undefined. What is inside of it is constant too.
				r.constant = true
				defer func() {
					r.constant = false
					switch e := recover().(type) {
					case nil:
					case *Error:
						if e.Err != nil {
							panic(e)
						}
						unsupported("this slice of a constant (%s)", e.Text)
					default:
						panic(e)
					}
				}()
			}
			return r.slice(object, r.evalBound(bounds.start, s), r.evalBound(bounds.stop, s), r.evalBound(bounds.step, s))
		}
		return r.item(object, r.eval(x.key, s))
	case *sliceExpr:
		unsupported("a slice among several keys")
	case *unaryExpr:
		return negate(x.sign, r.eval(x.x, s))
	case *binaryExpr:
		left := r.eval(x.x, s)
		return r.arithmetic(x.sign, left, r.eval(x.y, s))
	case *concatExpr:
		b := &builder{m: &r.meter}
		for _, v := range r.evalAll(x.items, s) {
			b.str(r.str(v))
		}
		return b.String()
	case *notExpr:
		return !truth(r.eval(x.x, s))
	case *logicExpr:
		v := r.eval(x.x, s)
		if truth(v) == x.and {
			return r.eval(x.y, s)
		}
		return v
	case *compareExpr:
		return r.evalCompare(x, s)
	case *condExpr:
		if truth(r.eval(x.test, s)) {
			return r.eval(x.then, s)
		}
		if x.other == nil {
			return &undefined{"the inline if-expression evaluated to false and no else section was defined.", "UndefinedError"}
		}
		return r.eval(x.other, s)
	case *callExpr:
		return r.callWith(x, s)
	case *filterExpr:
		return r.filter(x, r.eval(x.x, s), s)
	case *testExpr:
		v := r.eval(x.x, s)
		args, keywords := r.evalArguments(x.args, s)
		return r.test(x.name, v, args, keywords)
	}
	panic(fmt.Sprintf("an expression of type %T", x))
}

func (r *renderer) evalAll(exprs []expr, s *scope) []Value {
	r.takeMany(len(exprs), valueBytes)
	values := make([]Value, len(exprs))
	for i, x := range exprs {
		values[i] = r.eval(x, s)
	}
	return values
}

func (r *renderer) evalBound(x expr, s *scope) Value {
	if x == nil {
		return nil
	}
	return r.eval(x, s)
}

// evalCompare is a chain of comparisons, which ends with the first that is false.
func (r *renderer) evalCompare(x *compareExpr, s *scope) Value {
	left := r.eval(x.first, s)
	for _, c := range x.rest {
		right := r.eval(c.y, s)
		if !r.compareWith(c.sign, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (r *renderer) compareWith(sign string, a, b Value) bool {
	switch sign {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	order, ordered := r.compare(sign, a, b)
	if !ordered {
		return false
	}
	switch sign {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

// evalArguments computes the arguments of a call.
func (r *renderer) evalArguments(a arguments, s *scope) (values []Value, keywords []argument) {
	if len(a.values) > 0 {
		values = r.evalAll(a.values, s)
	}
	for _, k := range a.keywords {
		keywords = append(keywords, argument{k.name, r.eval(k.value, s)})
	}
	if a.dynamic != nil {
		values = append(values, r.items(r.eval(a.dynamic, s))...)
	}
	if a.dynamicKW != nil {
		d, ok := r.eval(a.dynamicKW, s).(*Dict)
		if !ok {
			fail("TypeError", "argument after ** must be a mapping")
		}
		for i, key := range d.keys {
			name, ok := key.(string)
			if !ok {
				fail("TypeError", "keywords must be strings")
			}
			for _, k := range keywords {
				if k.name == name {
					fail("TypeError", "got multiple values for keyword argument %s", reprString(name))
				}
			}
			keywords = append(keywords, argument{name, d.values[i]})
		}
	}
	return values, keywords
}

// callWith calls a function with the arguments that the expression has, and more.
func (r *renderer) callWith(x *callExpr, s *scope, more ...argument) Value {
	f := r.eval(x.function, s)
	values, keywords := r.evalArguments(x.args, s)
	return r.callValue(f, values, append(keywords, more...))
}

// callValue is Python's f(args, keywords).
func (r *renderer) callValue(f Value, args []Value, keywords []argument) Value {
	switch f := use(f).(type) {
	case *function:
		return f.call(r, args, keywords)
	case *macro:
		return r.invoke(f, args, keywords)
	case *joiner:
		bind("Joiner", args, keywords)
		if !f.used {
			f.used = true
			return ""
		}
		return f.separator
	case *loopValue:
		v := bind("loop", args, keywords, "iterable")
		if f.recurse == nil {
			fail("TypeError", "The loop must have the 'recursive' marker to be called recursively.")
		}
		return f.recurse(v[0])
	}
	fail("TypeError", "'%s' object is not callable", typeName(f))
	return nil
}

func callable(v Value) bool {
	switch v.(type) {
	case *function, *macro, *joiner, *loopValue, *undefined:
		return true
	}
	return false
}

// bind matches arguments with the names of parameters. A name that ends with "?" is optional; what
// is not given is missing.
func bind(name string, args []Value, keywords []argument, params ...string) []Value {
	if len(args) > len(params) {
		fail("TypeError", "%s() takes at most %d arguments (%d given)", name, len(params), len(args))
	}
	out := make([]Value, len(params))
	copy(out, args)
	for i := len(args); i < len(params); i++ {
		out[i] = missing
	}
next:
	for _, k := range keywords {
		for i, p := range params {
			if p == k.name || p == k.name+"?" {
				if out[i] != missing {
					fail("TypeError", "%s() got multiple values for argument %s", name, reprString(k.name))
				}
				out[i] = k.value
				continue next
			}
		}
		fail("TypeError", "%s() got an unexpected keyword argument %s", name, reprString(k.name))
	}
	for i, p := range params {
		if out[i] == missing && p[len(p)-1] != '?' {
			fail("TypeError", "%s() missing 1 required argument: %s", name, reprString(p))
		}
	}
	return out
}

// positional checks that a method is called without keywords, and with least to most arguments.
func positional(name string, args []Value, keywords []argument, least, most int) {
	if len(keywords) > 0 {
		fail("TypeError", "%s() takes no keyword arguments", name)
	}
	if len(args) < least || len(args) > most {
		fail("TypeError", "%s() takes %d to %d arguments (%d given)", name, least, most, len(args))
	}
}
