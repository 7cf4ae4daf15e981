package openai

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// props answers llama-server's GET /props, which harnesses ask for the context before all else.
func (h *Handler) props(w http.ResponseWriter, r *http.Request) error {
	return h.describe(w, r, func(m service.Model) any { return propsOf(m) })
}

// tokenizerInfo answers vLLM's GET /tokenizer_info, by which lm-eval finds that it needs no tokenizer of its
// own.
func (h *Handler) tokenizerInfo(w http.ResponseWriter, r *http.Request) error {
	return h.describe(w, r, func(m service.Model) any {
		return map[string]string{"bos_token": m.BOS, "eos_token": m.EOS, "chat_template": m.Template}
	})
}

// describe writes what is said of a model. Where there are several, ?model= names one.
func (h *Handler) describe(w http.ResponseWriter, r *http.Request, say func(service.Model) any) error {
	m, err := h.models.Find(r.URL.Query().Get("model"))
	if err != nil {
		return err
	}
	_ = wire.JSON(w, http.StatusOK, say(m)) // an error: the client has gone away
	return nil
}

type propsBody struct {
	Settings struct {
		Context int `json:"n_ctx"`
	} `json:"default_generation_settings"`
	Slots      int             `json:"total_slots"` // requests that may wait or be under way at once
	Model      string          `json:"model_alias"`
	Template   string          `json:"chat_template"`
	BOS        string          `json:"bos_token"`
	EOS        string          `json:"eos_token"`
	Modalities map[string]bool `json:"modalities"`
}

func propsOf(m service.Model) propsBody {
	p := propsBody{
		Slots: m.Requests, Model: m.Name, Template: m.Template, BOS: m.BOS, EOS: m.EOS,
		Modalities: map[string]bool{"vision": false, "audio": false},
	}
	p.Settings.Context = m.Context
	return p
}
