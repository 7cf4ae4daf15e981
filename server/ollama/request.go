package ollama

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// fields are what the bodies of both kinds of answers have. Fields that are not named are ignored.
type fields struct {
	Model     string          `json:"model"`
	Stream    *bool           `json:"stream"` // nil: true
	Format    json.RawMessage `json:"format"` // "json", or a JSON schema
	Options   options         `json:"options"`
	Think     json.RawMessage `json:"think"` // true or false, or low, medium or high
	KeepAlive json.RawMessage `json:"keep_alive"`
	CacheSalt string          `json:"cache_salt"`
}

// common returns the fields.
func (f *fields) common() *fields { return f }

// unloads reports whether a request that asks for nothing wants a model unloaded: by a time of 0, in seconds
// or as in "0s".
func (f *fields) unloads() bool {
	text := strings.Trim(string(f.KeepAlive), `"`)
	if d, err := time.ParseDuration(text); err == nil {
		return d == 0
	}
	n, err := strconv.ParseFloat(text, 64)
	return err == nil && n == 0
}

// options say how tokens are drawn. Those that are missing have Ollama's defaults.
type options struct {
	Temperature *float64  `json:"temperature"`
	TopK        *int      `json:"top_k"`
	TopP        *float64  `json:"top_p"`
	MinP        float64   `json:"min_p"`
	TypicalP    *float64  `json:"typical_p"`
	Seed        *int64    `json:"seed"`
	NumPredict  *int      `json:"num_predict"`
	NumContext  int       `json:"num_ctx"`
	Stop        stopTexts `json:"stop"`

	RepeatPenalty    float64 `json:"repeat_penalty"`
	PresencePenalty  float64 `json:"presence_penalty"`
	FrequencyPenalty float64 `json:"frequency_penalty"`
	RepeatLast       *int    `json:"repeat_last_n"`
	Mirostat         int     `json:"mirostat"`
}

// stopTexts is a text or a list of texts.
type stopTexts []string

// Wanted implements [wire.Wanted].
func (stopTexts) Wanted() string { return "a string or a list of strings" }

// UnmarshalJSON reads the field.
func (t *stopTexts) UnmarshalJSON(data []byte) error {
	var s generation.Strings
	if s.UnmarshalJSON(data) != nil {
		return wire.Mismatch[stopTexts](data)
	}
	*t = stopTexts(s)
	return nil
}

// streams reports whether the answer is written line by line.
func (f *fields) streams() bool { return f.Stream == nil || *f.Stream }

// request returns what the fields ask of a model.
func (f *fields) request(r *http.Request, m service.Model) (s service.Request, fault *wire.Fault) {
	if s.Config, fault = f.Options.config(m); fault != nil {
		return s, fault
	}
	s.Salt = wire.Salt(r.Context(), f.CacheSalt)
	s.Conversation = wire.Conversation(r, wire.Hints{})
	switch format := string(f.Format); {
	case format == "" || format == "null" || format == `""`:
	case format == `"json"`:
		s.Schema = json.RawMessage(`{"type": "object"}`)
	case format[0] == '{':
		s.Schema = f.Format
	default:
		return s, wire.Bad("format", `format is %.40s: want "json" or a JSON schema`, format)
	}
	return s, nil
}

// config returns the generation config that the options describe.
func (o *options) config(m service.Model) (c ebb.GenerationConfig, _ *wire.Fault) {
	switch {
	case o.NumContext > m.Context:
		return c, wire.Bad("options.num_ctx", "num_ctx is %d, and the server has a context of %d tokens: ask for at most as many, or start the server with a larger --context", o.NumContext, m.Context)
	case o.Mirostat != 0:
		return c, wire.NotOffered("mirostat: want mirostat 0")
	}
	c.StopStrings, c.MinP, c.TypicalP = generation.Strings(o.Stop), o.MinP, o.TypicalP
	c.PresencePenalty, c.FrequencyPenalty = o.PresencePenalty, o.FrequencyPenalty
	if o.RepeatPenalty != 0 && wire.Or(o.RepeatLast, -1) != 0 {
		c.RepetitionPenalty = o.RepeatPenalty
	}
	if n := wire.Or(o.NumPredict, -1); n >= 0 {
		c.MaxNewTokens = max(n, 1)
	}
	if t := wire.Or(o.Temperature, 0.8); t != 0 {
		c.DoSample, c.Temperature = true, &t
		c.TopK, c.TopP = new(max(wire.Or(o.TopK, 40), 0)), new(wire.Or(o.TopP, 0.9))
		if seed := wire.Or(o.Seed, 0); seed > 0 { // others are another one each time
			c.Seed = new(uint64(seed))
		}
	} else {
		c.MinP, c.TypicalP = 0, nil
	}
	return c, nil
}

// variables returns the variables of the template by which models are told to think. A template that
// does not know them is not changed by them.
func (f *fields) variables() (json.RawMessage, *wire.Fault) {
	switch think := string(f.Think); think {
	case "", "null":
		return nil, nil
	case "true", "false":
		return json.RawMessage(`{"enable_thinking": ` + think + `}`), nil
	case `"low"`, `"medium"`, `"high"`:
		return json.RawMessage(`{"enable_thinking": true, "reasoning_effort": ` + think + `}`), nil
	default:
		return nil, wire.Bad("think", `think is %.40s: want true or false, or "low", "medium" or "high"`, think)
	}
}

// message is a message of a conversation.
type message struct {
	Role      string            `json:"role"`
	Content   string            `json:"content"`
	Thinking  string            `json:"thinking"`
	Images    []json.RawMessage `json:"images"`
	ToolName  string            `json:"tool_name"`
	ToolCalls []chat.ToolCall   `json:"tool_calls"`
	CallID    string            `json:"tool_call_id"`
}

// chatBody is the body of /api/chat.
type chatBody struct {
	fields
	Messages []message       `json:"messages"`
	Tools    json.RawMessage `json:"tools"`
}

// isEmpty reports whether the body asks for no text.
func (q *chatBody) isEmpty() bool { return len(q.Messages) == 0 }

// request returns what the body asks of a model.
func (q *chatBody) request(r *http.Request, a service.Answerer) (s service.Request, fault *wire.Fault) {
	if s, fault = q.fields.request(r, a.Model()); fault != nil {
		return s, fault
	}
	s.Chat = &service.Chat{}
	if s.Chat.Variables, fault = q.variables(); fault != nil {
		return s, fault
	}
	if len(q.Tools) > 0 && string(q.Tools) != "null" {
		var err error
		if s.Chat.Tools, err = chat.ParseTools(q.Tools); err != nil {
			return s, wire.Bad("tools", "%v", err)
		}
	}
	var calls []string // names of those whose results have not come
	for i, m := range q.Messages {
		switch {
		case len(m.Images) > 0:
			return s, wire.Bad("messages", "messages[%d] has images: ebb reads text alone", i)
		case m.Role != "system" && m.Role != "user" && m.Role != "assistant" && m.Role != "tool":
			return s, wire.Bad("messages", "messages[%d] has the role %.40q: want system, user, assistant or tool", i, m.Role)
		case m.Role == "tool" && len(calls) > 0:
			if m.ToolName == "" {
				m.ToolName = calls[0]
			}
			calls = calls[1:]
		}
		for _, c := range m.ToolCalls {
			calls = append(calls, c.Name)
		}
		s.Chat.Messages = append(s.Chat.Messages, chat.Message{
			Role: m.Role, Content: m.Content, Name: m.ToolName, Reasoning: m.Thinking, ToolCalls: m.ToolCalls, ToolCallID: m.CallID,
		})
	}
	if n := len(q.Messages); n > 0 && q.Messages[n-1].Role == "assistant" {
		s.Chat.Continue = true // Ollama goes on behind it
	}
	return s, nil
}

// generateBody is the body of /api/generate.
type generateBody struct {
	fields
	Prompt   string            `json:"prompt"`
	System   string            `json:"system"`
	Suffix   string            `json:"suffix"`
	Template string            `json:"template"`
	Raw      bool              `json:"raw"`
	Images   []json.RawMessage `json:"images"`
	Context  []int32           `json:"context"`
}

// isEmpty reports whether the body asks for no text.
func (q *generateBody) isEmpty() bool { return q.Prompt == "" && q.System == "" }

// request returns what the body asks of a model.
func (q *generateBody) request(r *http.Request, a service.Answerer) (s service.Request, fault *wire.Fault) {
	switch {
	case q.Suffix != "":
		return s, wire.NotOffered("a suffix: send a prompt that has the model's own tokens for filling in, with raw")
	case q.Template != "":
		return s, wire.Bad("template", "a template of the request's own is not offered: send the rendered text as the prompt, with raw")
	case len(q.Images) > 0:
		return s, wire.Bad("images", "ebb reads text alone")
	case len(q.Context) > 0:
		return s, wire.Bad("context", "context is not offered: send the conversation to /api/chat, where what was computed of it is used again")
	}
	if s, fault = q.fields.request(r, a.Model()); fault != nil {
		return s, fault
	}
	if q.Raw || !a.Model().Chat {
		text := q.Prompt
		if q.System != "" && !q.Raw {
			text = q.System + "\n" + text
		}
		var err error
		if s.Prompt, err = a.Tokenizer().Encode(text, tokenizing); err != nil {
			return s, wire.Bad("prompt", "%v", err)
		}
		return s, nil
	}
	s.Chat = &service.Chat{}
	if s.Chat.Variables, fault = q.variables(); fault != nil {
		return s, fault
	}
	if q.System != "" {
		s.Chat.Messages = append(s.Chat.Messages, chat.Message{Role: "system", Content: q.System})
	}
	s.Chat.Messages = append(s.Chat.Messages, chat.Message{Role: "user", Content: q.Prompt})
	return s, nil
}
