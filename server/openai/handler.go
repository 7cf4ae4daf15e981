package openai

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Handler answers requests of OpenAI's API. It may be used from many goroutines.
type Handler struct {
	models  service.Models
	options wire.Options
}

// New returns a handler that answers by models.
func New(models service.Models, o wire.Options) *Handler { return &Handler{models: models, options: o} }

// Register adds the routes of the handler, and those that are not offered, which are errors.
func (h *Handler) Register(mux wire.Mux) {
	for _, route := range []struct {
		method, path string
		answer       func(http.ResponseWriter, *http.Request) error
	}{
		{"POST", "/v1/chat/completions", h.chat},
		{"POST", "/v1/completions", h.complete},
		{"GET", "/v1/models", h.list},
		{"GET", "/v1/models/{id...}", h.model},
		{"POST", "/chat/completions", h.chat},
		{"POST", "/completions", h.complete},
		{"GET", "/models", h.list},
		{"POST", "/tokenize", h.tokenize},
		{"POST", "/detokenize", h.detokenize},
		{"GET", "/tokenizer_info", h.tokenizerInfo},
		{"POST", "/apply-template", h.applyTemplate},
		{"GET", "/props", h.props},
	} {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) {
			if err := route.answer(w, r); err != nil {
				WriteFault(w, faultOf(err))
			}
		})
	}
	for path, what := range absent {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { WriteFault(w, wire.NotOffered(what)) })
	}
}

// absent are routes that programs know and that are not offered.
var absent = map[string]string{
	"/v1/embeddings":            "embeddings",
	"/embeddings":               "embeddings",
	"/embedding":                "embeddings",
	"/v1/rerank":                "ranking of documents",
	"/rerank":                   "ranking of documents",
	"/v1/moderations":           "moderation",
	"/v1/images/":               "images",
	"/v1/videos":                "videos",
	"/v1/videos/":               "videos",
	"/v1/audio/":                "audio",
	"/v1/realtime":              "realtime sessions",
	"/v1/files":                 "files",
	"/v1/files/":                "files",
	"/v1/uploads":               "uploads",
	"/v1/uploads/":              "uploads",
	"/v1/batches":               "batches of requests: send them at once, and one step serves all of them",
	"/v1/batches/":              "batches of requests: send them at once, and one step serves all of them",
	"/v1/fine_tuning/":          "fine-tuning",
	"/v1/assistants":            "assistants: use /v1/responses or /v1/chat/completions",
	"/v1/assistants/":           "assistants: use /v1/responses or /v1/chat/completions",
	"/v1/threads":               "threads: use /v1/responses or /v1/chat/completions",
	"/v1/threads/":              "threads: use /v1/responses or /v1/chat/completions",
	"/v1/vector_stores":         "vector stores",
	"/v1/vector_stores/":        "vector stores",
	"POST /completion":          "llama-server's own completions: use /v1/completions",
	"POST /infill":              "infilling",
	"GET /lora-adapters":        "LoRA adapters",
	"POST /lora-adapters":       "LoRA adapters",
	"/v1/chat/completions/{id}": "stored chat completions: use /v1/responses",
	"GET /v1/responses":         "a list of responses",
	"/v1/conversations":         "conversations: use previous_response_id of /v1/responses",
	"/v1/conversations/":        "conversations: use previous_response_id of /v1/responses",
	"/v1/organization/":         "organizations",
	"DELETE /v1/models/{id...}": "deleting models",
}
