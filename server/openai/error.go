package openai

import (
	"net/http"
	"strings"

	"github.com/seed4d217819/ebb/server/wire"
)

// errorBody is OpenAI's error. Of a prompt that is too long it has llama-server's fields, too.
type errorBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
		Tokens  int     `json:"n_prompt_tokens,omitempty"`
		Context int     `json:"n_ctx,omitempty"`
	} `json:"error"`
}

// WriteFault answers a request with a fault in OpenAI's shape. It writes nothing to a client that has gone
// away.
func WriteFault(w http.ResponseWriter, f *wire.Fault) {
	if f.Status == wire.StatusClosed {
		return
	}
	f.Head(w.Header())
	_ = wire.JSON(w, f.Status, errorOf(f)) // an error: the client has gone away
}

// errorOf returns what is said of a fault.
func errorOf(f *wire.Fault) (b errorBody) {
	e := &b.Error
	e.Message, e.Type, e.Tokens, e.Context = f.Message, errorType(f.Status), f.Tokens, f.Context
	if f.Param != "" {
		e.Param = &f.Param
	}
	if f.Code != "" {
		e.Code = &f.Code
	}
	return b
}

func errorType(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status == http.StatusServiceUnavailable:
		return "unavailable_error"
	case status == http.StatusNotImplemented:
		return "not_supported_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}

// faultOf returns the fault of an error of package service, in the names of this API's fields.
func faultOf(err error) *wire.Fault {
	f := wire.FaultOf(err)
	if f == nil || f.Status != http.StatusBadRequest {
		return f
	}
	renamed := *f
	f = &renamed
	switch f.Param {
	case "schema":
		f.Param = "response_format"
	case "chat":
		f.Param = "messages"
	case "":
		f.Message = strings.TrimPrefix(f.Message, "generation config: ")
		f.Param, _, _ = strings.Cut(f.Message, " ")
		if !isField[f.Param] {
			f.Param = ""
		}
	}
	return f
}

// isField has the fields of a generation config that bodies have under the same name, by which its
// errors begin.
var isField = map[string]bool{
	"temperature": true, "top_p": true, "top_k": true, "min_p": true, "typical_p": true, "repetition_penalty": true,
	"presence_penalty": true, "frequency_penalty": true, "num_beams": true, "num_beam_groups": true,
	"diversity_penalty": true, "length_penalty": true, "prompt_lookup_num_tokens": true,
}
