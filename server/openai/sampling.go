package openai

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/sample"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// sampling has the fields of a body that say how to generate: OpenAI's, those that vLLM and
// llama-server have beside them, and ebb's own. A pointer is nil where the field is not given.
type sampling struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	ReturnProgress bool `json:"return_progress"`

	MaxTokens *int      `json:"max_tokens"`
	MinTokens int       `json:"min_tokens"`
	N         *int      `json:"n"`
	Seed      *int64    `json:"seed"`
	Stop      texts     `json:"stop"`
	IgnoreEOS bool      `json:"ignore_eos"`
	LogitBias logitBias `json:"logit_bias"`

	Temperature       *float64 `json:"temperature"`
	TopP              *float64 `json:"top_p"`
	TopK              *int     `json:"top_k"`
	MinP              float64  `json:"min_p"`
	TypicalP          *float64 `json:"typical_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"` // vLLM's name
	RepeatPenalty     *float64 `json:"repeat_penalty"`     // llama-server's
	PresencePenalty   float64  `json:"presence_penalty"`
	FrequencyPenalty  float64  `json:"frequency_penalty"`

	NumBeams         *int     `json:"num_beams"`
	NumBeamGroups    *int     `json:"num_beam_groups"`
	DiversityPenalty float64  `json:"diversity_penalty"`
	LengthPenalty    *float64 `json:"length_penalty"`
	PromptLookup     *int     `json:"prompt_lookup_num_tokens"`

	Grammar        string          `json:"grammar"`
	ResponseFormat *responseFormat `json:"response_format"`

	CacheSalt      string `json:"cache_salt"`
	PromptCacheKey string `json:"prompt_cache_key"`
	Metadata       struct {
		UserID any `json:"user_id"`
	} `json:"metadata"`
}

// texts is a text or a list of texts.
type texts []string

// Wanted implements [wire.Wanted].
func (texts) Wanted() string { return "a string or a list of strings" }

// UnmarshalJSON reads the field.
func (t *texts) UnmarshalJSON(data []byte) error {
	var s generation.Strings
	if s.UnmarshalJSON(data) != nil {
		return wire.Mismatch[texts](data)
	}
	*t = texts(s)
	return nil
}

// logitBias is what is added to the scores of tokens.
type logitBias []sample.Bias

// Wanted implements [wire.Wanted].
func (logitBias) Wanted() string {
	return `an object of token ids and numbers from -100 to 100, as in {"15": -100}`
}

// UnmarshalJSON reads the field.
func (b *logitBias) UnmarshalJSON(data []byte) error {
	var object map[string]float64
	if json.Unmarshal(data, &object) != nil {
		return wire.Mismatch[logitBias](data)
	}
	*b = nil
	for key, bias := range object {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || math.Abs(bias) > 100 {
			return wire.Mismatch[logitBias](data)
		}
		*b = append(*b, sample.Bias{Tokens: []int32{int32(id)}, Bias: float32(bias)})
	}
	return nil
}

// responseFormat says what the text is to be.
type responseFormat struct {
	Type       string          `json:"type"`
	Schema     json.RawMessage `json:"schema"` // llama-server's, of json_object
	JSONSchema *struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// maxTexts is how many texts a request may ask for, as OpenAI has it, and how many beams.
const maxTexts = 128

// maxTop is how many of the most probable tokens may be asked for, as OpenAI has it.
const maxTop = 20

// request returns what the fields ask for, with a limit of new tokens; nil: none.
func (s *sampling) request(r *http.Request, limit *int) (service.Request, *wire.Fault) {
	out := service.Request{Grammar: s.Grammar, Salt: wire.Salt(r.Context(), s.CacheSalt)}
	out.NoLookup = s.PromptLookup != nil && *s.PromptLookup == 0
	user, _ := s.Metadata.UserID.(string)
	out.Conversation = wire.Conversation(r, wire.Hints{UserID: user, CacheKey: s.PromptCacheKey})
	var fault *wire.Fault
	if out.Config, fault = s.config(limit); fault != nil {
		return out, fault
	}
	out.Schema, fault = s.schema()
	return out, fault
}

// config returns the generation config that the fields describe.
func (s *sampling) config(limit *int) (c ebb.GenerationConfig, _ *wire.Fault) {
	for _, f := range []struct {
		name  string
		value *int
		least int
		most  int
	}{
		{"n", s.N, 1, maxTexts},
		{"num_beams", s.NumBeams, 1, maxTexts},
		{"num_beam_groups", s.NumBeamGroups, 1, maxTexts},
		{"prompt_lookup_num_tokens", s.PromptLookup, 0, 64},
		{"min_tokens", &s.MinTokens, 0, math.MaxInt32},
	} {
		if f.value != nil && (*f.value < f.least || *f.value > f.most) {
			return c, wire.Bad(f.name, "%s is %d: want a number from %d to %d", f.name, *f.value, f.least, f.most)
		}
	}
	c = ebb.GenerationConfig{
		MaxNewTokens: wire.Or(limit, 0), MinNewTokens: s.MinTokens, StopStrings: generation.Strings(s.Stop),
		NumReturnSequences: wire.Or(s.N, 1), NumBeams: wire.Or(s.NumBeams, 1), NumBeamGroups: wire.Or(s.NumBeamGroups, 1),
		DiversityPenalty: s.DiversityPenalty, LengthPenalty: s.LengthPenalty, PromptLookupNumTokens: wire.Or(s.PromptLookup, 0),
		PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
		RepetitionPenalty: wire.Or(s.RepetitionPenalty, wire.Or(s.RepeatPenalty, 1)),
	}
	if len(s.LogitBias) > 0 {
		c.SequenceBias = s.LogitBias
	}
	if s.IgnoreEOS {
		c.EOSTokenID = generation.TokenIDs{}
	}
	if !s.draws() {
		if n := c.NumReturnSequences; n > c.NumBeams {
			return c, wire.Bad("n", "n is %d, and temperature 0 finds the most probable text alone: want n 1, a temperature above 0, or num_beams of at least %d", n, n)
		}
		return c, nil
	}
	c.DoSample, c.Temperature, c.TopP, c.MinP, c.TypicalP = true, s.Temperature, s.TopP, s.MinP, s.TypicalP
	c.TopK = new(max(wire.Or(s.TopK, 0), 0)) // vLLM's -1 is none, too
	if s.Seed != nil && *s.Seed != -1 {      // llama-server's -1 is another one each time
		c.Seed = new(uint64(*s.Seed))
	}
	return c, nil
}

// draws reports whether tokens are drawn. OpenAI's default is a temperature of 1; beams find the most
// probable texts unless a temperature is given.
func (s *sampling) draws() bool {
	if s.Temperature == nil {
		return wire.Or(s.NumBeams, 1) == 1
	}
	return *s.Temperature != 0
}

// schema returns the JSON schema that the text follows; nil: none.
func (s *sampling) schema() (json.RawMessage, *wire.Fault) {
	f := s.ResponseFormat
	if f == nil {
		return nil, nil
	}
	var schema json.RawMessage
	switch f.Type {
	case "", "text":
		return nil, nil
	case "json_object":
		schema = json.RawMessage(`{"type": "object"}`)
		if !wire.IsNull(f.Schema) {
			schema = f.Schema
		}
	case "json_schema":
		if f.JSONSchema == nil || wire.IsNull(f.JSONSchema.Schema) {
			return nil, wire.Bad("response_format", "response_format has no json_schema.schema: want the schema that the text is to follow")
		}
		schema = f.JSONSchema.Schema
	default:
		return nil, wire.Bad("response_format", "response_format.type is %.40q: want text, json_object or json_schema", f.Type)
	}
	if s.Grammar != "" {
		return nil, wire.Bad("grammar", "grammar and response_format are both given: a text follows one of them")
	}
	return schema, nil
}

// checkVocabulary reports ids that a model does not have.
func (s *sampling) checkVocabulary(m service.Model) *wire.Fault {
	for _, b := range s.LogitBias {
		if id := b.Tokens[0]; id < 0 || int(id) >= m.Vocabulary {
			return wire.Bad("logit_bias", "logit_bias has the token %d: %s", id, vocabulary(m))
		}
	}
	return nil
}

func vocabulary(m service.Model) string {
	return fmt.Sprintf("the model has the tokens 0 to %d", m.Vocabulary-1)
}
