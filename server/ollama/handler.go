package ollama

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Handler answers the requests of Ollama's API.
type Handler struct {
	models  service.Models
	options wire.Options
}

// New returns a Handler that answers with some models.
func New(models service.Models, o wire.Options) *Handler { return &Handler{models, o} }

// Register adds the handler's routes.
func (h *Handler) Register(mux wire.Mux) {
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/version":   h.version,
		"GET /api/tags":      h.tags,
		"GET /api/ps":        h.ps,
		"POST /api/show":     h.show,
		"POST /api/chat":     h.chat,
		"POST /api/generate": h.generate,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(w, r); err != nil {
				WriteFault(w, wire.FaultOf(err))
			}
		})
	}
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

// WriteFault writes an error in Ollama's form. It writes nothing to a client that has gone away.
func WriteFault(w http.ResponseWriter, f *wire.Fault) {
	if f.Status == wire.StatusClosed {
		return
	}
	f.Head(w.Header())
	_ = wire.JSON(w, f.Status, map[string]string{"error": f.Message}) // a client that has gone reads no error
}
