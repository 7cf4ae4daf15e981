package responses

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// response is what comes of a request. Its fields are those that OpenAI's servers always write.
type response struct {
	ID         string            `json:"id"`
	Object     string            `json:"object"` // response
	CreatedAt  int64             `json:"created_at"`
	Status     string            `json:"status"` // in_progress, completed, incomplete or failed
	Background bool              `json:"background"`
	Error      *failure          `json:"error"`
	Incomplete *incomplete       `json:"incomplete_details"`
	Model      string            `json:"model"`
	Output     []any             `json:"output"` // of *message, *thought and *call
	Metadata   map[string]string `json:"metadata"`
	Usage      *usage            `json:"usage"` // null until it is known

	// What the request has asked for.
	Instructions  *string    `json:"instructions"`
	MaxTokens     *int       `json:"max_output_tokens"`
	ParallelCalls bool       `json:"parallel_tool_calls"`
	Previous      *string    `json:"previous_response_id"`
	CacheKey      *string    `json:"prompt_cache_key,omitempty"`
	Reasoning     reasoning  `json:"reasoning"`
	ServiceTier   string     `json:"service_tier"`
	Store         bool       `json:"store"`
	Temperature   float64    `json:"temperature"`
	Text          textFormat `json:"text"`
	ToolChoice    toolChoice `json:"tool_choice"`
	Tools         tools      `json:"tools"`
	TopLogProbs   int        `json:"top_logprobs"`
	TopP          float64    `json:"top_p"`
	Truncation    string     `json:"truncation"`
	User          *string    `json:"user"`
}

// failure is why a response has failed.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// incomplete is why a response has ended early.
type incomplete struct {
	Reason string `json:"reason"`
}

type textFormat struct {
	Format format `json:"format"`
}

// usage says what a response has taken.
type usage struct {
	Input        int `json:"input_tokens"`
	InputDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	Output        int `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int `json:"total_tokens"`
}

func usageOf(u service.Usage) *usage {
	out := &usage{Input: u.Prompt, Output: u.New, Total: u.Prompt + u.New}
	out.InputDetails.Cached, out.OutputDetails.Reasoning = u.Cached, u.Reasoning
	return out
}

// message is an item of text.
type message struct {
	Type    string       `json:"type"` // message
	ID      string       `json:"id"`
	Status  string       `json:"status"`
	Role    string       `json:"role"` // assistant
	Content []outputText `json:"content"`
}

// outputText is the text of a message.
type outputText struct {
	Type        string   `json:"type"` // output_text
	Text        string   `json:"text"`
	Annotations []string `json:"annotations"` // none
	LogProbs    []string `json:"logprobs"`    // none
}

func newText(text string) outputText {
	return outputText{Type: "output_text", Text: text, Annotations: []string{}, LogProbs: []string{}}
}

// thought is an item of reasoning.
type thought struct {
	Type      string        `json:"type"` // reasoning
	ID        string        `json:"id"`
	Status    string        `json:"status"`
	Summary   []string      `json:"summary"` // none
	Content   []thoughtText `json:"content"`
	Encrypted *string       `json:"encrypted_content,omitempty"`
}

type thoughtText struct {
	Type string `json:"type"` // reasoning_text
	Text string `json:"text"`
}

// call is an item that calls a function.
type call struct {
	Type      string `json:"type"` // function_call
	ID        string `json:"id"`
	Status    string `json:"status"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// callPrefix begins the names of calls.
const callPrefix = "call_"

// newResponse returns the response to a request, before there is anything in it.
func newResponse(q *request) *response {
	r := &response{
		ID: wire.ID("resp_"), Object: "response", CreatedAt: time.Now().Unix(), Status: "in_progress", Model: q.Model, Output: []any{},
		Metadata: q.Metadata, Instructions: q.Instructions, MaxTokens: q.MaxTokens, ParallelCalls: true, Previous: q.Previous,
		CacheKey: q.CacheKey, Reasoning: q.Reasoning, ServiceTier: "default", Store: q.Store == nil || *q.Store,
		Temperature: 1, Text: textFormat{format{Type: "text"}}, ToolChoice: q.ToolChoice, Tools: q.Tools, TopP: 1,
		Truncation: "disabled", User: q.User,
	}
	if q.ParallelCalls != nil {
		r.ParallelCalls = *q.ParallelCalls
	}
	if q.Temperature != nil {
		r.Temperature = *q.Temperature
	}
	if q.TopP != nil {
		r.TopP = *q.TopP
	}
	if q.Text.Format != nil {
		r.Text.Format = *q.Text.Format
	}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	if r.Tools == nil {
		r.Tools = tools{}
	}
	return r
}

// record is a response and the items of its request, as they are kept.
type record struct {
	Response json.RawMessage   `json:"response"`
	Input    []json.RawMessage `json:"input"` // each has an id
}

// newRecord returns the record of a response to some items.
func newRecord(r *response, n input) (rec record, err error) {
	rec.Input = []json.RawMessage{}
	for _, raw := range n {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return rec, err
		}
		if wire.IsNull(fields["id"]) {
			fields["id"] = json.RawMessage(`"` + wire.ID("item_") + `"`)
		}
		if wire.IsNull(fields["type"]) {
			fields["type"] = json.RawMessage(`"message"`)
		}
		if raw, err = encode(fields); err != nil {
			return rec, err
		}
		rec.Input = append(rec.Input, raw)
	}
	rec.Response, err = encode(r)
	return rec, err
}

// encode returns v as JSON in which characters that mean something in HTML stay as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
