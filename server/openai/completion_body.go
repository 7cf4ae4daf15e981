package openai

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// completionBody is the body of a request to /v1/completions.
type completionBody struct {
	sampling

	Prompt   prompts `json:"prompt"`
	Echo     bool    `json:"echo"`
	LogProbs *int    `json:"logprobs"`

	// These are not offered, and to ignore them would be wrong.
	Suffix string `json:"suffix"`
	BestOf *int   `json:"best_of"`
}

// prompts are a text, a list of texts, token ids, or a list of lists of those.
type prompts []prompt

// prompt is a text or ids.
type prompt struct {
	text   string
	isText bool
	ids    []int32
}

// Wanted implements [wire.Wanted].
func (prompts) Wanted() string {
	return "a string, a list of strings, a list of token ids, or a list of such lists"
}

// UnmarshalJSON reads the field.
func (p *prompts) UnmarshalJSON(data []byte) error {
	*p = nil
	var text string
	var all []string
	var ids []int32
	var lists [][]int32
	switch {
	case string(data) == "null":
	case json.Unmarshal(data, &text) == nil:
		*p = prompts{{text: text, isText: true}}
	case json.Unmarshal(data, &ids) == nil:
		*p = prompts{{ids: ids}}
	case json.Unmarshal(data, &all) == nil:
		for _, text := range all {
			*p = append(*p, prompt{text: text, isText: true})
		}
	case json.Unmarshal(data, &lists) == nil:
		for _, ids := range lists {
			*p = append(*p, prompt{ids: ids})
		}
	default:
		return wire.Mismatch[prompts](data)
	}
	return nil
}

const (
	// maxPrompts is how many prompts a request may have.
	maxPrompts = 1024
	// defaultCompletion is how many tokens are generated where a body does not say, as OpenAI has it.
	defaultCompletion = 16
)

// request returns what the body asks for beside the prompts.
func (b *completionBody) request(r *http.Request) (service.Request, *wire.Fault) {
	limit := wire.Or(b.MaxTokens, defaultCompletion)
	top := wire.Or(b.LogProbs, 0)
	switch {
	case b.Suffix != "":
		return service.Request{}, wire.Bad("suffix", "suffix is not offered: write the tokens that the model has for filling in into the prompt")
	case b.BestOf != nil && *b.BestOf != wire.Or(b.N, 1):
		return service.Request{}, wire.Bad("best_of", "best_of is %d and n %d: only the same number is offered; num_beams searches for the most probable texts", *b.BestOf, wire.Or(b.N, 1))
	case len(b.Prompt) == 0:
		return service.Request{}, wire.Bad("prompt", "there is no prompt: want %s", b.Prompt.Wanted())
	case len(b.Prompt) > maxPrompts:
		return service.Request{}, wire.Bad("prompt", "there are %d prompts: want at most %d", len(b.Prompt), maxPrompts)
	case limit < -1:
		return service.Request{}, wire.Bad("max_tokens", "max_tokens is %d: want at least 0", limit)
	case top < 0 || top > maxTop:
		return service.Request{}, wire.Bad("logprobs", "logprobs is %d: want a number from 0 to %d", top, maxTop)
	}
	limit = max(limit, 0) // -1 is no limit
	if b.isEchoAlone() {
		limit = 1 // whose token is left out
	}
	out, fault := b.sampling.request(r, &limit)
	if b.LogProbs != nil {
		out.Config.OutputScores, out.Config.RawLogProbs, out.Config.TopLogProbs = true, true, top
		out.PromptLogProbs = b.Echo
	}
	return out, fault
}

// isEchoAlone reports whether no text is wanted: max_tokens is 0.
func (b *completionBody) isEchoAlone() bool { return b.MaxTokens != nil && *b.MaxTokens == 0 }

// requests returns a request for each of the prompts.
func (b *completionBody) requests(m service.Answerer, like service.Request) ([]service.Request, *wire.Fault) {
	out := make([]service.Request, len(b.Prompt))
	for i, p := range b.Prompt {
		name := "prompt"
		if len(b.Prompt) > 1 {
			name = fmt.Sprintf("prompt[%d]", i)
		}
		ids, fault := p.tokens(m, name)
		if fault != nil {
			return nil, fault
		}
		out[i] = like
		out[i].Prompt = ids
	}
	return out, nil
}

// tokens returns the ids of a prompt. Special tokens may be spelt in it.
func (p prompt) tokens(m service.Answerer, name string) ([]int32, *wire.Fault) {
	ids := p.ids
	if p.isText {
		var err error
		if ids, err = m.Tokenizer().Encode(p.text, tokenizer.Options{AddSpecial: true, ParseSpecial: true}); err != nil {
			return nil, wire.Bad("prompt", "%s: %v", name, err)
		}
	}
	if len(ids) == 0 {
		return nil, wire.Bad("prompt", "%s is empty: want at least one token", name)
	}
	return ids, checkIDs(m.Model(), name, ids)
}

// checkIDs reports ids that a model does not have.
func checkIDs(m service.Model, name string, ids []int32) *wire.Fault {
	for _, id := range ids {
		if id < 0 || int(id) >= m.Vocabulary {
			return wire.Bad("prompt", "%s has the token %d: %s", name, id, vocabulary(m))
		}
	}
	return nil
}
