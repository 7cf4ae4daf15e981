package anthropic

import (
	"encoding/json"
	"net/http"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// request is the body of a request. Fields that it does not have are ignored.
type request struct {
	Model     string    `json:"model"`
	System    content   `json:"system"`
	Messages  []message `json:"messages"`
	MaxTokens *int      `json:"max_tokens"`
	Stream    bool      `json:"stream"`

	Temperature   *float64 `json:"temperature"`
	TopP          *float64 `json:"top_p"`
	TopK          *int     `json:"top_k"`
	StopSequences []string `json:"stop_sequences"`

	Tools      []tool      `json:"tools"`
	ToolChoice *toolChoice `json:"tool_choice"`

	Thinking *struct {
		Type string `json:"type"`
	} `json:"thinking"`
	OutputConfig struct {
		Effort string  `json:"effort"`
		Format *format `json:"format"`
	} `json:"output_config"`
	OutputFormat *format `json:"output_format"` // what output_config.format was called at first

	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	CacheSalt string `json:"cache_salt"` // not Anthropic's
}

// format is what a text has to look like.
type format struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// translate returns the request that a body is, and the names of what is left out of it.
func (q *request) translate(r *http.Request) (s service.Request, skipped []string, fault *wire.Fault) {
	s.Chat = &service.Chat{}
	if s.Chat.Messages, fault = q.messages(); fault != nil {
		return s, nil, fault
	}
	s.Chat.Continue = s.Chat.Messages[len(s.Chat.Messages)-1].Role == "assistant"
	if s.Chat.Tools, skipped, fault = q.tools(); fault != nil {
		return s, nil, fault
	}
	if s.Chat.Choice, fault = q.choice(s.Chat.Tools); fault != nil {
		return s, nil, fault
	}
	if s.Chat.Variables, fault = q.variables(); fault != nil {
		return s, nil, fault
	}
	if s.Schema, fault = q.schema(); fault != nil {
		return s, nil, fault
	}
	if q.MaxTokens != nil {
		if *q.MaxTokens < 1 {
			return s, nil, wire.Bad("max_tokens", "max_tokens is %d: want 1 or more", *q.MaxTokens)
		}
		s.Config.MaxNewTokens = *q.MaxTokens
	}
	q.sampling(&s.Config)
	s.Salt = wire.Salt(r.Context(), q.CacheSalt)
	s.Conversation = wire.Conversation(r, wire.Hints{UserID: q.Metadata.UserID})
	return s, skipped, nil
}

// sampling sets how tokens are drawn. Anthropic's defaults are a temperature of 1 and all tokens.
func (q *request) sampling(c *ebb.GenerationConfig) {
	c.DoSample = q.Temperature == nil || *q.Temperature != 0
	if c.DoSample {
		c.Temperature = q.Temperature
	}
	c.TopP, c.TopK = q.TopP, q.TopK
	if c.TopK == nil {
		c.TopK = new(int)
	}
	c.StopStrings = q.StopSequences
}

// variables returns the variables of the template by which models are told to think. A template that
// does not know them is not changed by them.
func (q *request) variables() (json.RawMessage, *wire.Fault) {
	variables := map[string]any{}
	if q.Thinking != nil {
		switch q.Thinking.Type {
		case "enabled", "adaptive":
			variables["enable_thinking"] = true
		case "disabled":
			variables["enable_thinking"] = false
		default:
			return nil, wire.Bad("thinking.type", "thinking.type is %.40q: want enabled, adaptive or disabled", q.Thinking.Type)
		}
	}
	switch effort := q.OutputConfig.Effort; effort {
	case "":
	case "low", "medium", "high":
		variables["reasoning_effort"] = effort
	default: // xhigh and max
		variables["reasoning_effort"] = "high"
	}
	if len(variables) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(variables)
	return data, wire.FaultOf(err)
}

// schema returns the JSON schema that the text has to follow; nil: none.
func (q *request) schema() (json.RawMessage, *wire.Fault) {
	f, field := q.OutputConfig.Format, "output_config.format"
	if f == nil {
		f, field = q.OutputFormat, "output_format"
	}
	switch {
	case f == nil:
		return nil, nil
	case f.Type != "json_schema":
		return nil, wire.Bad(field+".type", "%s.type is %.40q: want json_schema", field, f.Type)
	case wire.IsNull(f.Schema):
		return nil, wire.Bad(field+".schema", "%s.schema is missing: want a JSON schema", field)
	}
	return f.Schema, nil
}
