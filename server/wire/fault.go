package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seed4d217819/ebb/service"
)

// Fault is why a request is not answered.
type Fault struct { //nolint:errname // it is the body of a response first
	Status  int    // of HTTP
	Code    string // a word for programs, as OpenAI has them, such as "context_length_exceeded"; ""
	Param   string // the field of the body that is wrong; ""
	Message string

	// RetryAfter is when the same request may succeed; 0: it is not known that it ever does.
	RetryAfter time.Duration

	// Of a prompt that is longer than the context.
	Tokens  int // of the prompt
	Context int // tokens that a sequence may hold
}

func (f *Fault) Error() string { return f.Message }

// StatusClosed is the status of a request whose client has gone away. Only logs show it.
const StatusClosed = 499

// Bad is the fault of a request whose field, "" if it is none, is wrong.
func Bad(field, format string, args ...any) *Fault {
	return &Fault{Status: http.StatusBadRequest, Param: field, Message: fmt.Sprintf(format, args...)}
}

// NotFound is the fault of a path that there is nothing at.
func NotFound(r *http.Request) *Fault {
	return &Fault{Status: http.StatusNotFound, Code: "not_found", Message: fmt.Sprintf("there is nothing at %s %.200s: /openapi.yaml describes what there is", r.Method, r.URL.Path)}
}

// NotOffered is the fault of something that an API has and this server has not.
func NotOffered(what string) *Fault {
	return &Fault{Status: http.StatusNotImplemented, Code: "not_implemented", Message: "ebb does not offer " + what}
}

// FaultOf returns the fault that an error of package service is. nil is none.
func FaultOf(err error) *Fault {
	var fault *Fault
	var tooLong *service.ContextError
	var wrong *service.RequestError
	var unknown *service.UnknownModelError
	var load *service.LoadError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &tooLong):
		return &Fault{
			Status: http.StatusBadRequest, Code: "context_length_exceeded", Message: tooLong.Error(),
			Tokens: tooLong.Tokens, Context: tooLong.Context,
		}
	case errors.As(err, &wrong):
		plain := service.RequestError{Field: wrong.Field, Err: errors.New(withoutPackages(wrong.Err.Error()))}
		return &Fault{Status: http.StatusBadRequest, Param: wrong.Field, Message: plain.Error()}
	case errors.As(err, &unknown):
		return &Fault{Status: http.StatusNotFound, Code: "model_not_found", Param: "model", Message: unknown.Error()}
	case errors.As(err, &load):
		return unloadable(load)
	case errors.Is(err, service.ErrModelBusy):
		return &Fault{
			Status: http.StatusServiceUnavailable, Code: "model_busy", RetryAfter: 10 * time.Second,
			Message: "the model could not be loaded in time, because the answers of another one go on, or loading takes long: try again later",
		}
	case errors.Is(err, service.ErrBusy):
		return &Fault{
			Status: http.StatusTooManyRequests, Code: "queue_full", RetryAfter: time.Second,
			Message: "too many requests wait already: try again later, or start the server with a larger --max-queue",
		}
	case errors.Is(err, service.ErrClosed):
		return &Fault{
			Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: 5 * time.Second,
			Message: "the server ends or loads another model: send the request again later",
		}
	case errors.Is(err, context.Canceled):
		return &Fault{Status: StatusClosed, Message: "the client has gone away"}
	}
	return &Fault{Status: http.StatusInternalServerError, Code: "internal_error", Message: err.Error()}
}

// unloadable is the fault of a model that cannot be loaded. With a file that is broken it cannot be loaded a
// second time, either; memory may be there then.
func unloadable(e *service.LoadError) *Fault {
	f := &Fault{Status: http.StatusInternalServerError, Code: "model_not_loaded"}
	reason := e.Reason
	if reason == "" {
		reason = "the log of the server says why"
	}
	if e.Short {
		f.Status, f.RetryAfter = http.StatusServiceUnavailable, 30*time.Second
	}
	f.Message = fmt.Sprintf("model %q cannot be loaded: %s", e.Name, reason)
	return f
}

// Head sets the header fields that tell programs whether to send the request again. Libraries of
// clients do so by themselves after 408, 409, 429 and 5xx, and a prompt may be long: x-should-retry
// says where that would be in vain.
func (f *Fault) Head(h http.Header) {
	switch {
	case f.RetryAfter > 0:
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	case f.Status != http.StatusRequestTimeout:
		h.Set("X-Should-Retry", "false")
	}
}
