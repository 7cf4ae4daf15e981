package openai

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// modelBody describes a model. How many tokens it takes is said in the words of vLLM, OpenRouter and
// llama-server: programs that find none of them guess, and truncate.
type modelBody struct {
	ID            string    `json:"id"`
	Object        string    `json:"object"`
	Created       int64     `json:"created"`
	OwnedBy       string    `json:"owned_by"`
	MaxModelLen   int       `json:"max_model_len,omitempty"`
	ContextLength int       `json:"context_length,omitempty"`
	Meta          modelMeta `json:"meta"`
}

type modelMeta struct {
	Context      int    `json:"n_ctx,omitempty"`
	Trained      int    `json:"n_ctx_train,omitempty"`
	Vocabulary   int    `json:"n_vocab,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Parameters   int64  `json:"n_params,omitempty"`
	Bytes        int64  `json:"size,omitempty"` // of its weights
	Tools        bool   `json:"tools"`
}

func modelOf(m service.Model) modelBody {
	return modelBody{
		ID: m.Name, Object: "model", Created: max(0, m.Created.Unix()), OwnedBy: "ebb", MaxModelLen: m.Context, ContextLength: m.Context,
		Meta: modelMeta{m.Context, m.Trained, m.Vocabulary, m.Architecture, m.Parameters, m.Bytes, m.Tools},
	}
}

// list answers GET /v1/models.
func (h *Handler) list(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		Object string      `json:"object"`
		Data   []modelBody `json:"data"`
		// Models is what Codex reads, which has instructions of its own for each model that it finds
		// there, and general ones for all others. Without the field it reports an error.
		Models []struct{} `json:"models"`
	}{Object: "list", Data: []modelBody{}, Models: []struct{}{}}
	for _, m := range h.models.List() {
		out.Data = append(out.Data, modelOf(m))
	}
	_ = wire.JSON(w, http.StatusOK, out) // an error: the client has gone away
	return nil
}

// model answers GET /v1/models/{id}. Without an id it is the list.
func (h *Handler) model(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if id == "" {
		return h.list(w, r)
	}
	var known []string
	for _, m := range h.models.List() {
		if m.Name == id {
			_ = wire.JSON(w, http.StatusOK, modelOf(m)) // an error: the client has gone away
			return nil
		}
		known = append(known, m.Name)
	}
	return &service.UnknownModelError{Name: id, Known: known}
}
