package openai

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// chatBody is the body of a request to /v1/chat/completions.
type chatBody struct {
	sampling

	Messages            []json.RawMessage `json:"messages"`
	MaxCompletionTokens *int              `json:"max_completion_tokens"`
	LogProbs            bool              `json:"logprobs"`
	TopLogProbs         *int              `json:"top_logprobs"`

	Tools             []json.RawMessage `json:"tools"`
	ToolChoice        json.RawMessage   `json:"tool_choice"`
	ParallelToolCalls *bool             `json:"parallel_tool_calls"`

	TemplateVariables map[string]json.RawMessage `json:"chat_template_kwargs"`
	ReasoningEffort   string                     `json:"reasoning_effort"`

	ContinueFinal       bool  `json:"continue_final_message"` // vLLM's
	AddGenerationPrompt *bool `json:"add_generation_prompt"`

	// These are not offered, and to ignore them would be wrong.
	Functions  json.RawMessage `json:"functions"`
	Modalities []string        `json:"modalities"`
}

// request returns what the body asks for.
func (b *chatBody) request(r *http.Request) (service.Request, *wire.Fault) {
	limit, fault := b.limit()
	if fault != nil {
		return service.Request{}, fault
	}
	out, fault := b.sampling.request(r, limit)
	if fault != nil {
		return out, fault
	}
	if out.Chat, fault = b.chat(); fault != nil {
		return out, fault
	}
	if out.Chat.Choice.Mode == service.ToolsRequired && (out.Grammar != "" || out.Schema != nil) {
		return out, wire.Bad("tool_choice", "tool_choice asks for a call, and response_format or grammar for another text: an answer is one of both")
	}
	top := wire.Or(b.TopLogProbs, 0)
	switch {
	case top < 0 || top > maxTop:
		return out, wire.Bad("top_logprobs", "top_logprobs is %d: want a number from 0 to %d", top, maxTop)
	case top > 0 && !b.LogProbs:
		return out, wire.Bad("top_logprobs", "top_logprobs is %d, and logprobs is not true", top)
	}
	out.Config.OutputScores, out.Config.RawLogProbs, out.Config.TopLogProbs = b.LogProbs, b.LogProbs, top
	return out, nil
}

// limit returns how many tokens are generated at most; nil: as many as there is room for. Some programs
// send both fields, and -1 for no limit.
func (b *chatBody) limit() (*int, *wire.Fault) {
	name, limit := "max_completion_tokens", b.MaxCompletionTokens
	if limit == nil {
		name, limit = "max_tokens", b.MaxTokens
	}
	switch {
	case limit == nil || *limit == -1:
		return nil, nil
	case *limit < 1:
		return nil, wire.Bad(name, "%s is %d: want at least 1", name, *limit)
	case b.MaxTokens != nil && *b.MaxTokens != *limit:
		return nil, wire.Bad("max_tokens", "max_tokens is %d and max_completion_tokens %d: they are two names of one limit", *b.MaxTokens, *limit)
	}
	return limit, nil
}

// callPrefix is what the names of calls begin with.
const callPrefix = "call_"

// chat returns the conversation.
func (b *chatBody) chat() (*service.Chat, *wire.Fault) {
	switch {
	case !wire.IsNull(b.Functions) && string(b.Functions) != "[]":
		return nil, wire.Bad("functions", "functions are not offered: want tools, which have replaced them")
	case slices.ContainsFunc(b.Modalities, func(m string) bool { return m != "text" }):
		return nil, wire.Bad("modalities", "modalities are %s: only text is offered", strings.Join(b.Modalities, ", "))
	case len(b.Messages) == 0:
		return nil, wire.Bad("messages", "messages is empty: want at least one message")
	}
	c := &service.Chat{Continue: b.ContinueFinal}
	for i, data := range b.Messages {
		var m chat.Message
		if fault := wire.DecodePart(fmt.Sprintf("messages[%d]", i), data, &m); fault != nil {
			return nil, fault
		}
		if m.Role == "" {
			return nil, wire.Bad("messages", `messages[%d] has no role: want "system", "user", "assistant" or "tool"`, i)
		}
		for j := range m.ToolCalls {
			m.ToolCalls[j].ID = wire.OwnCallID(callPrefix, m.ToolCalls[j].ID)
		}
		m.ToolCallID = wire.OwnCallID(callPrefix, m.ToolCallID)
		c.Messages = append(c.Messages, m)
	}
	if c.Continue && c.Messages[len(c.Messages)-1].Role != "assistant" {
		return nil, wire.Bad("continue_final_message", "continue_final_message is true, and the last message is not the assistant's")
	}
	if c.Continue && wire.Or(b.AddGenerationPrompt, false) {
		return nil, wire.Bad("add_generation_prompt", "add_generation_prompt and continue_final_message are both true: an answer begins a turn or continues one")
	}
	for i, data := range b.Tools {
		var t chat.Tool
		if fault := wire.DecodePart(fmt.Sprintf("tools[%d]", i), data, &t); fault != nil {
			return nil, fault
		}
		c.Tools = append(c.Tools, t)
	}
	var fault *wire.Fault
	if c.Choice, fault = b.choice(c.Tools); fault != nil {
		return nil, fault
	}
	c.Choice.Single = !wire.Or(b.ParallelToolCalls, true)
	c.Variables = b.variables()
	return c, nil
}

// choice returns whether tools have to be called.
func (b *chatBody) choice(tools []chat.Tool) (c service.ToolChoice, _ *wire.Fault) {
	const want = `want "auto", "none", "required" or {"type": "function", "function": {"name": …}}`
	if wire.IsNull(b.ToolChoice) {
		return c, nil
	}
	var word string
	var object struct {
		Type     string
		Function struct{ Name string }
	}
	switch {
	case json.Unmarshal(b.ToolChoice, &word) == nil:
		switch word {
		case "auto":
			return c, nil
		case "none":
			return service.ToolChoice{Mode: service.ToolsNone}, nil
		case "required":
			c.Mode, c.Single = service.ToolsRequired, !wire.Or(b.ParallelToolCalls, true)
		default:
			return c, wire.Bad("tool_choice", "tool_choice is %.40q: "+want, word)
		}
	case json.Unmarshal(b.ToolChoice, &object) == nil && object.Type == "function" && object.Function.Name != "":
		c = service.ToolChoice{Mode: service.ToolsRequired, Name: object.Function.Name}
		if !slices.ContainsFunc(tools, func(t chat.Tool) bool { return t.Name == c.Name }) {
			return c, wire.Bad("tool_choice", "tool_choice names the function %.100q, which is not among tools", c.Name)
		}
	default:
		return c, wire.Bad("tool_choice", "tool_choice is %.100s: "+want, b.ToolChoice)
	}
	if len(tools) == 0 {
		return c, wire.Bad("tool_choice", "tool_choice asks for a call, and there are no tools")
	}
	return c, nil
}

// variables returns the variables of the template. Those that are given by name win over
// reasoning_effort, which templates know as such or as enable_thinking.
func (b *chatBody) variables() json.RawMessage {
	all := map[string]json.RawMessage{}
	if b.ReasoningEffort != "" {
		effort, _ := json.Marshal(b.ReasoningEffort) // a string is JSON
		all["reasoning_effort"] = effort
		if b.ReasoningEffort == "none" {
			all["enable_thinking"] = json.RawMessage("false")
		}
	}
	maps.Copy(all, b.TemplateVariables)
	if len(all) == 0 {
		return nil
	}
	data, _ := json.Marshal(all) // the values were JSON before
	return data
}
