package server

import (
	"net/http"
	"strings"

	"github.com/seed4d217819/ebb/server/anthropic"
	"github.com/seed4d217819/ebb/server/ollama"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
)

// fail writes an error in the shape of the API that the path belongs to.
func fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	f := &wire.Fault{Status: status, Code: codes[status], Message: message}
	if status == http.StatusServiceUnavailable {
		f.RetryAfter = retryAfter
	}
	refuse(w, r, f)
}

// refuse writes a fault in the shape of the API that the path belongs to.
func refuse(w http.ResponseWriter, r *http.Request, f *wire.Fault) {
	// A client that has gone reads no error.
	switch path := r.URL.Path; {
	case path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/"):
		_ = anthropic.WriteFault(w, f)
	case strings.HasPrefix(path, "/api/"): // Ollama's
		ollama.WriteFault(w, f)
	default:
		openai.WriteFault(w, f)
	}
}

var codes = map[int]string{
	http.StatusUnauthorized: "invalid_api_key", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not_found", http.StatusMethodNotAllowed: "method_not_allowed",
	http.StatusInternalServerError: "internal_error", http.StatusServiceUnavailable: "unavailable",
	http.StatusInsufficientStorage: "no_room",
}
