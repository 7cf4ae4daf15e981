package jinja

import (
	"math"
	"math/big"
)

// maxRange is how many numbers the sandbox allows a range to have.
const maxRange = 100_000

// globals are the functions that every template sees.
var globals map[string]Value

func init() {
	globals = map[string]Value{"self": &templateRef{}}
	for name, call := range map[string]func(*renderer, []Value, []argument) Value{
		"range":           rangeFunction,
		"dict":            func(r *renderer, args []Value, keywords []argument) Value { return r.dict(args, keywords) },
		"namespace":       func(r *renderer, args []Value, keywords []argument) Value { return &namespace{r.dict(args, keywords)} },
		"cycler":          cyclerFunction,
		"joiner":          joinerFunction,
		"raise_exception": raiseFunction,
		"strftime_now":    strftimeFunction,
		"lipsum": func(*renderer, []Value, []argument) Value {
			unsupported("the function lipsum")
			return nil
		},
	} {
		globals[name] = &function{name, call}
	}
}

func rangeFunction(_ *renderer, args []Value, keywords []argument) Value {
	positional("range", args, keywords, 1, 3)
	bounds := []*big.Int{new(big.Int), new(big.Int), big.NewInt(1)}
	for i, a := range args {
		if len(args) == 1 {
			i = 1
		}
		if !isInt(a) {
			fail("TypeError", "'%s' object cannot be interpreted as an integer", typeName(a))
		}
		bounds[i] = bigOf(a)
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step.Sign() == 0 {
		fail("ValueError", "range() arg 3 must not be zero")
	}
	// The length is the distance divided by the step, rounded up.
	length := new(big.Int).Sub(start, stop)
	length.Div(length.Mul(length, big.NewInt(int64(step.Sign()))), new(big.Int).Abs(step))
	length.Neg(length)
	if length.Cmp(big.NewInt(maxRange)) > 0 {
		exceeded("a range has more than %d numbers, which the sandbox does not allow", maxRange)
	}
	if !start.IsInt64() || !stop.IsInt64() || !step.IsInt64() {
		unsupported("a range with integers of more than 64 bits")
	}
	return &rangeValue{int(start.Int64()), int(stop.Int64()), int(step.Int64()), max(int(length.Int64()), 0)}
}

// dict is Python's dict(args, keywords).
func (r *renderer) dict(args []Value, keywords []argument) *Dict {
	if len(args) > 1 {
		fail("TypeError", "dict expected at most 1 argument, got %d", len(args))
	}
	d := NewDict()
	if len(args) == 1 {
		if from, ok := args[0].(*Dict); ok {
			d = r.copyDict(from)
		} else {
			for _, item := range r.items(args[0]) {
				pair := r.items(item)
				if len(pair) != 2 {
					fail("ValueError", "dictionary update sequence element has length %d; 2 is required", len(pair))
				}
				r.take(pairBytes)
				d.set(pair[0], pair[1])
			}
		}
	}
	for _, k := range keywords {
		r.take(pairBytes)
		d.set(k.name, k.value)
	}
	return d
}

func cyclerFunction(_ *renderer, args []Value, keywords []argument) Value {
	positional("cycler", args, keywords, 0, math.MaxInt)
	if len(args) == 0 {
		fail("RuntimeError", "at least one item has to be provided")
	}
	return &cycler{items: args}
}

func joinerFunction(_ *renderer, args []Value, keywords []argument) Value {
	a := bind("joiner", args, keywords, "sep?")
	return &joiner{separator: optional(a[0], ", ")}
}

func raiseFunction(r *renderer, args []Value, keywords []argument) Value {
	a := bind("raise_exception", args, keywords, "message")
	panic(&Error{Line: r.line, Kind: "TemplateError", Text: r.str(a[0]), Err: ErrRaised})
}
