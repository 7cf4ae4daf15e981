package ollama

import (
	"net/http"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Options say how a Handler works. The zero value is useful.
type Options struct {
	Body     int64         // bytes that a body may have; 0: [wire.DefaultBody]
	Patience time.Duration // for how long a client may read nothing; 0: [wire.DefaultPatience]
}

// Handler answers the requests of Ollama's API.
type Handler struct {
	models  service.Models
	options Options
}

// New returns a Handler that answers with some models.
func New(models service.Models, o Options) *Handler { return &Handler{models, o} }

// Register adds the handler's routes.
func (h *Handler) Register(mux wire.Mux) {
	mux.HandleFunc("GET /api/version", h.version)
	mux.HandleFunc("GET /api/tags", h.tags)
	mux.HandleFunc("GET /api/ps", h.ps)
	mux.HandleFunc("POST /api/show", h.show)
	mux.HandleFunc("POST /api/chat", h.chat)
	mux.HandleFunc("POST /api/generate", h.generate)
	for pattern, what := range notOffered {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			WriteFault(w, wire.NotOffered(what))
		})
	}
}

// notOffered are the routes of Ollama that there is nothing at.
var notOffered = map[string]string{
	"POST /api/pull":           "downloading models over HTTP: ebb serve -m hf://OWNER/REPO:QUANT downloads one",
	"POST /api/push":           "uploading models",
	"POST /api/create":         "making models",
	"POST /api/copy":           "copying models",
	"DELETE /api/delete":       "deleting models",
	"POST /api/embed":          "embeddings",
	"POST /api/embeddings":     "embeddings",
	"HEAD /api/blobs/{digest}": "files of models",
	"POST /api/blobs/{digest}": "files of models",
}

// WriteFault writes an error in Ollama's form.
func WriteFault(w http.ResponseWriter, f *wire.Fault) {
	f.Head(w.Header())
	_ = wire.JSON(w, f.Status, map[string]string{"error": f.Message}) // a client that has gone reads no error
}
