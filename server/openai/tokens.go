package openai

import (
	"net/http"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// ask reads a body and finds the model that it names, calls answer with it, and writes what that
// returns.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request, body any, name *string, answer func(service.Answerer) (any, error)) error {
	if fault := h.options.Read(w, r, body); fault != nil {
		return fault
	}
	m, done, err := h.models.Use(r.Context(), *name)
	if err != nil {
		return err
	}
	defer done()
	out, err := answer(m)
	if err != nil {
		return err
	}
	_ = wire.JSON(w, http.StatusOK, out) // an error: the client has gone away
	return nil
}

// tokenize answers llama-server's POST /tokenize, and vLLM's, which lm-eval asks.
func (h *Handler) tokenize(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Model        string  `json:"model"`
		Content      *string `json:"content"`
		AddSpecial   bool    `json:"add_special"`
		ParseSpecial *bool   `json:"parse_special"`
		WithPieces   bool    `json:"with_pieces"`

		Prompt           *string `json:"prompt"`             // vLLM's name of content
		AddSpecialTokens *bool   `json:"add_special_tokens"` // and of add_special, which it adds by default
	}
	type piece struct {
		ID    int32 `json:"id"`
		Piece any   `json:"piece"` // a text, or bytes that are none
	}
	return h.ask(w, r, &body, &body.Model, func(m service.Answerer) (any, error) {
		if body.Content == nil && body.Prompt != nil {
			body.Content, body.AddSpecial = body.Prompt, wire.Or(body.AddSpecialTokens, true)
		}
		if body.Content == nil {
			return nil, wire.Bad("content", "there is no content: want the text")
		}
		ids, err := m.Tokenizer().Encode(*body.Content, tokenizer.Options{AddSpecial: body.AddSpecial, ParseSpecial: wire.Or(body.ParseSpecial, true)})
		if err != nil {
			return nil, wire.Bad("content", "content: %v", err)
		}
		if !body.WithPieces {
			return map[string][]int32{"tokens": append([]int32{}, ids...)}, nil
		}
		pieces := make([]piece, len(ids))
		for i, id := range ids {
			spelling := m.Tokenizer().Spell(id)
			pieces[i] = piece{id, spelling}
			if !utf8.ValidString(spelling) {
				pieces[i].Piece = candidateOf(spelling, 0).Bytes
			}
		}
		return map[string][]piece{"tokens": pieces}, nil
	})
}

// detokenize answers llama-server's POST /detokenize, and vLLM's, which calls the text prompt.
func (h *Handler) detokenize(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Model  string  `json:"model"`
		Tokens []int32 `json:"tokens"`
	}
	return h.ask(w, r, &body, &body.Model, func(m service.Answerer) (any, error) {
		if fault := checkIDs(m.Model(), "tokens", body.Tokens); fault != nil {
			return nil, fault
		}
		text := m.Tokenizer().Decode(body.Tokens, false)
		return map[string]string{"content": text, "prompt": text}, nil
	})
}

// applyTemplate answers llama-server's POST /apply-template: the prompt that a chat is rendered as.
func (h *Handler) applyTemplate(w http.ResponseWriter, r *http.Request) error {
	var body chatBody
	return h.ask(w, r, &body, &body.Model, func(m service.Answerer) (any, error) {
		c, fault := body.chat()
		if fault != nil {
			return nil, fault
		}
		prompt, err := m.Render(c)
		return map[string]string{"prompt": prompt}, err
	})
}
