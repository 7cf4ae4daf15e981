package server

import (
	_ "embed"
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
)

// description says in OpenAPI's form what all routes take and answer. Tests hold it against the routes,
// the fields that bodies are read into, and what is answered.
//
//go:embed openapi.yaml
var description []byte

// describes answers GET /openapi.yaml.
func describes(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	_, _ = w.Write(description) // whoever asked may have gone
}

// routes are a mux whose patterns are known: those of an [http.ServeMux] cannot be listed.
type routes struct {
	*http.ServeMux
	patterns []string
}

var _ wire.Mux = (*routes)(nil)

// HandleFunc adds a route.
func (r *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	r.Handle(pattern, http.HandlerFunc(h))
}

// Handle adds a route.
func (r *routes) Handle(pattern string, h http.Handler) {
	r.ServeMux.Handle(pattern, h)
	r.patterns = append(r.patterns, pattern)
}
