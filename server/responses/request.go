package responses

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// request is the body of a request. Fields that it does not have are ignored.
type request struct {
	Model        string  `json:"model"`
	Input        input   `json:"input"`
	Instructions *string `json:"instructions"`
	Previous     *string `json:"previous_response_id"`
	Store        *bool   `json:"store"`
	Stream       bool    `json:"stream"`
	MaxTokens    *int    `json:"max_output_tokens"`

	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"` // not OpenAI's

	Tools         tools      `json:"tools"`
	ToolChoice    toolChoice `json:"tool_choice"`
	ParallelCalls *bool      `json:"parallel_tool_calls"`

	Text struct {
		Format *format `json:"format"`
	} `json:"text"`
	Reasoning reasoning         `json:"reasoning"`
	Include   []string          `json:"include"`
	Metadata  map[string]string `json:"metadata"`
	User      *string           `json:"user"`
	CacheKey  *string           `json:"prompt_cache_key"`
	CacheSalt string            `json:"cache_salt"` // not OpenAI's

	// What is not offered.
	Background   bool            `json:"background"`
	Conversation json.RawMessage `json:"conversation"`
	Prompt       json.RawMessage `json:"prompt"`
	TopLogProbs  int             `json:"top_logprobs"`
}

// reasoning says how the model is to think.
type reasoning struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

// format is what a text has to look like.
type format struct {
	Type        string          `json:"type"`
	Name        string          `json:"name,omitempty"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// refuse returns the fault of a request for what is not offered.
func (q *request) refuse() *wire.Fault {
	const hint = "ebb does not offer %s: "
	switch {
	case q.Background:
		return wire.Bad("background", hint+"stream the response instead", "responses in the background")
	case !wire.IsNull(q.Conversation):
		return wire.Bad("conversation", hint+"name the response before as previous_response_id instead", "conversations of their own")
	case !wire.IsNull(q.Prompt):
		return wire.Bad("prompt", hint+"send its text as instructions instead", "prompts that are kept by a server")
	case q.TopLogProbs != 0 || slices.Contains(q.Include, "message.output_text.logprobs"):
		return wire.Bad("top_logprobs", hint+"/v1/chat/completions has them", "log-probabilities of responses")
	}
	return nil
}

// translate returns the service's request for the items of the request behind those before it, and the
// types of what is left out.
func (q *request) translate(r *http.Request, before []json.RawMessage) (s service.Request, skipped []string, fault *wire.Fault) {
	if fault := q.refuse(); fault != nil {
		return s, nil, fault
	}
	h := history{}
	if q.Instructions != nil && *q.Instructions != "" {
		h.add(chat.Message{Role: "system", Content: *q.Instructions})
	}
	for _, raw := range before {
		if fault := h.item("previous_response_id", raw); fault != nil {
			return s, nil, fault
		}
	}
	if fault := h.input(q.Input); fault != nil {
		return s, nil, fault
	}
	s.Chat = &service.Chat{Messages: h.messages}
	if s.Chat.Tools, s.Chat.Choice, fault = q.callable(); fault != nil {
		return s, nil, fault
	}
	if s.Chat.Variables, fault = q.Reasoning.variables(); fault != nil {
		return s, nil, fault
	}
	if s.Schema, fault = q.Text.Format.schema(); fault != nil {
		return s, nil, fault
	}
	if q.MaxTokens != nil {
		if *q.MaxTokens < 1 {
			return s, nil, wire.Bad("max_output_tokens", "max_output_tokens is %d: want 1 or more", *q.MaxTokens)
		}
		s.Config.MaxNewTokens = *q.MaxTokens
	}
	q.sampling(&s.Config)
	s.Salt = wire.Salt(r.Context(), q.CacheSalt)
	return s, append(q.Tools.skipped(), h.skipped...), nil
}

// sampling sets how tokens are drawn. OpenAI's defaults are a temperature of 1 and all tokens.
func (q *request) sampling(c *ebb.GenerationConfig) {
	c.DoSample = q.Temperature == nil || *q.Temperature != 0
	if c.DoSample {
		c.Temperature = q.Temperature
	}
	c.TopP, c.TopK = q.TopP, q.TopK
	if c.TopK == nil {
		c.TopK = new(int)
	}
}

// conversation returns what the client calls the conversation: by one of its own names for it, or by
// the first response of it.
func (q *request) conversation(r *http.Request, first string) string {
	var hints wire.Hints
	if q.CacheKey != nil {
		hints.CacheKey = *q.CacheKey
	}
	if name := wire.Conversation(r, hints); name != "" {
		return name
	}
	return first
}

// variables returns the variables of the template by which models are told to think. A template that
// does not know them is not changed by them.
func (r reasoning) variables() (json.RawMessage, *wire.Fault) {
	if r.Effort == nil {
		return nil, nil
	}
	switch *r.Effort {
	case "none":
		return json.RawMessage(`{"enable_thinking": false}`), nil
	case "minimal", "low":
		return json.RawMessage(`{"reasoning_effort": "low"}`), nil
	case "medium":
		return json.RawMessage(`{"reasoning_effort": "medium"}`), nil
	case "high", "xhigh", "max":
		return json.RawMessage(`{"reasoning_effort": "high"}`), nil
	}
	return nil, wire.Bad("reasoning.effort", "reasoning.effort is %.40q: want none, minimal, low, medium, high or xhigh", *r.Effort)
}

// schema returns the JSON schema that the text has to follow; nil: none.
func (f *format) schema() (json.RawMessage, *wire.Fault) {
	switch {
	case f == nil || f.Type == "text":
		return nil, nil
	case f.Type == "json_object":
		return json.RawMessage(`{"type": "object"}`), nil
	case f.Type != "json_schema":
		return nil, wire.Bad("text.format.type", "text.format.type is %.40q: want text, json_object or json_schema", f.Type)
	case wire.IsNull(f.Schema):
		return nil, wire.Bad("text.format.schema", "text.format.schema is missing: want a JSON schema")
	}
	return f.Schema, nil
}
