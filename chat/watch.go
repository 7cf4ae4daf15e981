package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/ardanlabs/jinja"
)

// watch keeps one rendering within its limits. The interpreter has no hooks, so
// the template calls it (see guard).
type watch struct {
	limits
	deadline time.Time
	depth    int // macros being called
	maxDepth int
	printed  int // bytes
}

// newWatch starts the time of one rendering of a template of that many bytes.
func newWatch(lim limits, source int) *watch {
	const least = 1 << 10 // of stack, in bytes of template, that even an empty macro takes
	return &watch{limits: lim, deadline: time.Now().Add(lim.time), maxDepth: lim.nested / (source + least)}
}

// install puts the functions where the template finds them.
func (w *watch) install(data map[string]jinja.Value) {
	for name, fn := range map[string]func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error){
		nameTick:  w.tick,
		nameEnter: w.enter,
		nameLeave: w.leave,
		namePrint: w.print,
		"range":   w.span,
	} {
		data[name] = jinja.NewCallable(name, fn)
	}
}

func (w *watch) tick([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
	return jinja.None(), w.check()
}

// check returns an error once a limit is passed.
func (w *watch) check() error {
	if w.printed > w.output {
		return fmt.Errorf("%w: it prints more than %d bytes", ErrLimit, w.output)
	}
	if time.Now().After(w.deadline) {
		return fmt.Errorf("%w: rendering takes longer than %v", ErrLimit, w.time)
	}
	return nil
}

func (w *watch) enter([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
	if w.depth++; w.depth > w.maxDepth {
		return jinja.None(), fmt.Errorf("%w: macros call each other more than %d deep", ErrLimit, w.maxDepth)
	}
	return jinja.None(), w.check()
}

func (w *watch) leave([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
	w.depth--
	return jinja.None(), nil
}

// print returns what is printed for its argument, and counts it.
func (w *watch) print(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if len(args) != 1 {
		return jinja.None(), fmt.Errorf("%d values to print; want 1", len(args))
	}
	s := spelling(args[0])
	w.printed += len(s)
	return jinja.NewString(s), w.check()
}

// span is range(stop), range(start, stop) and range(start, stop, step).
func (w *watch) span(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	bounds := make([]int64, len(args))
	for i, a := range args {
		if !a.IsInt() {
			return jinja.None(), fmt.Errorf("range: argument %d is %s; want an integer", i+1, a)
		}
		bounds[i] = a.AsInt()
	}
	var start, stop int64
	step := int64(1)
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	default:
		return jinja.None(), fmt.Errorf("range: %d arguments; want 1 to 3", len(bounds))
	}
	if step == 0 {
		return jinja.None(), errors.New("range: step is 0")
	}
	var items []jinja.Value
	for i := start; (step > 0 && i < stop) || (step < 0 && i > stop); i += step {
		if len(items) == w.limits.span {
			return jinja.None(), fmt.Errorf("%w: a range has more than %d numbers", ErrLimit, w.limits.span)
		}
		items = append(items, jinja.NewInt(i))
	}
	return jinja.NewList(items), nil
}

// spelling is v as Jinja prints it.
func spelling(v jinja.Value) string {
	switch {
	case v.IsUndefined():
		return ""
	case v.IsString():
		return v.AsString()
	default:
		return v.String()
	}
}
