package jinja

import (
	"errors"
	"fmt"
)

var (
	// ErrUnsupported is wrapped by the error about something that Python's jinja2 can do and this
	// package cannot.
	ErrUnsupported = errors.New("is not supported")

	// ErrLimit is wrapped by the error of a template that takes more than its limits allow.
	ErrLimit = errors.New("template exceeds a limit")

	// ErrRaised is wrapped by the error of a template that called raise_exception. The message is
	// the template's.
	ErrRaised = errors.New("template raised an exception")
)

// Error is a fault of a template or of what it computes with.
type Error struct {
	Line int    // in the source, from 1; 0 if it is not known
	Kind string // the name of Python's exception, or "" if Python has no such fault
	Text string
	Err  error // ErrUnsupported, ErrLimit, ErrRaised or nil
}

func (e *Error) Error() string {
	s := e.Text
	if e.Line > 0 && !errors.Is(e.Err, ErrRaised) {
		s = fmt.Sprintf("line %d: %s", e.Line, s)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// fail panics with the error that Python would raise.
func fail(kind, format string, args ...any) {
	panic(&Error{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// unsupported panics with an error that names what is not implemented.
func unsupported(format string, args ...any) {
	panic(&Error{Text: fmt.Sprintf(format, args...) + " is not supported", Err: ErrUnsupported})
}

func exceeded(format string, args ...any) {
	panic(&Error{Text: ErrLimit.Error() + ": " + fmt.Sprintf(format, args...), Err: ErrLimit})
}

// recovered turns the panic of fail and its kin into an error. Any other panic is a fault of this
// package, which a template must not be able to end a process with.
func recovered(err *error, line func() int) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		if r.Line == 0 {
			r.Line = line()
		}
		*err = r
	default:
		*err = &Error{Line: line(), Text: fmt.Sprintf("internal error: %v", r)}
	}
}
