package responses

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/seed4d217819/ebb/internal/recordfile"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Options say how a Handler works. The zero value is useful.
type Options struct {
	wire.Options

	// Dir is the folder in which responses are kept, for this handler alone; it is made if it is not
	// there. "": they are kept in memory.
	Dir      string
	MaxCount int   // how many are kept at most; 0: 1000
	MaxBytes int64 // how many bytes they have together at most; 0: 256 MiB

	Log *slog.Logger // of what keeps responses from being kept; nil: the default one
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.MaxCount == 0 {
		o.MaxCount = 1000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Handler answers the requests of the responses API.
type Handler struct {
	models  service.Models
	options Options
	store   *recordfile.Store
}

// New returns a Handler that answers with some models. An error says why the folder of the options
// cannot be used.
func New(models service.Models, o Options) (*Handler, error) {
	o = o.withDefaults()
	s, err := recordfile.Open(recordfile.Options{Dir: o.Dir, Ours: kept.MatchString, Count: o.MaxCount, Bytes: o.MaxBytes})
	if err != nil {
		return nil, fmt.Errorf("responses: %w", err)
	}
	return &Handler{models, o, s}, nil
}

// Register adds the handler's routes.
func (h *Handler) Register(mux wire.Mux) {
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /v1/responses":                 h.create,
		"POST /v1/responses/input_tokens":    h.count,
		"GET /v1/responses/{id}":             h.get,
		"DELETE /v1/responses/{id}":          h.remove,
		"GET /v1/responses/{id}/input_items": h.items,
		"POST /v1/responses/{id}/cancel": func(http.ResponseWriter, *http.Request) error {
			return wire.Bad("", "only responses in the background can be cancelled, which ebb does not offer: close the connection of the response instead")
		},
		"/v1/responses/": func(_ http.ResponseWriter, r *http.Request) error { return wire.NotFound(r) },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(w, r); err != nil {
				openai.WriteFault(w, faultOf(err))
			}
		})
	}
}

// faultOf returns the fault of an error of package service, in the names of this API's fields.
func faultOf(err error) *wire.Fault {
	f := wire.FaultOf(err)
	if f == nil || f.Status != http.StatusBadRequest {
		return f
	}
	renamed := *f
	switch f.Param {
	case "schema":
		renamed.Param = "text.format.schema"
	case "chat", "messages":
		renamed.Param = "input"
	}
	return &renamed
}
