package service

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of a request that its client can do something about.
var (
	// ErrBusy says that the queue is full. The same request may succeed later.
	ErrBusy = errors.New("service: too many requests wait already")
	// ErrClosed says that the service takes no more requests.
	ErrClosed = errors.New("service: closed")
	// ErrModelBusy says that the model that the request names was not loaded in time: the answers of another one
	// go on, or loading takes long.
	ErrModelBusy = errors.New("service: the model was not loaded in time")
)

// RequestError says what is wrong with a request.
type RequestError struct {
	Field string // the field of [Request], in lower case, as far as it is known
	Err   error
}

func (e *RequestError) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return e.Field + ": " + e.Err.Error()
}

func (e *RequestError) Unwrap() error { return e.Err }

// ContextError says that a prompt does not fit into the context. Its text is one that the programs
// which call language models know.
type ContextError struct {
	Tokens  int // of the prompt
	Context int // tokens that a sequence may hold
}

func (e *ContextError) Error() string {
	return fmt.Sprintf("prompt is too long: %d tokens > %d maximum; this model's maximum context length is %[2]d tokens", e.Tokens, e.Context)
}

// LoadError says that a model could not be loaded.
type LoadError struct {
	Name   string
	Short  bool   // there was too little memory: the same request may succeed later
	Reason string // for clients: it names no files of the server. "": its log says more
	Err    error
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("model %q cannot be loaded: %v", e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// UnknownModelError says that no model has the name that a request gives.
type UnknownModelError struct {
	Name  string
	Known []string // the names that there are
}

func (e *UnknownModelError) Error() string {
	return fmt.Sprintf("model %q does not exist: want one of %s", e.Name, strings.Join(e.Known, ", "))
}
