package anthropic

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
)

// fault is an error as Anthropic writes it.
type fault struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	// Of a prompt that is longer than the context. Not Anthropic's.
	Tokens  int `json:"n_prompt_tokens,omitempty"`
	Context int `json:"n_ctx,omitempty"`
}

// failure is the body of an error.
func failure(f *wire.Fault) event {
	return event{Type: "error", Error: &fault{typeOf(f.Status), f.Message, f.Tokens, f.Context}}
}

// typeOf returns Anthropic's word for a status.
func typeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	}
	if status < http.StatusInternalServerError {
		return "invalid_request_error"
	}
	return "api_error"
}

// WriteFault answers a request with a fault in Anthropic's form. It writes nothing to a client that has gone
// away.
func WriteFault(w http.ResponseWriter, f *wire.Fault) error {
	if f.Status == wire.StatusClosed {
		return nil
	}
	f.Head(w.Header())
	return wire.JSON(w, f.Status, failure(f))
}
