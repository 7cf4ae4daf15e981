package openai

import (
	"context"
	"net/http"
	"slices"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// chatChunk is an event of a stream.
type chatChunk struct {
	head
	Choices  []chunkChoice `json:"choices"`
	Usage    *usage        `json:"usage,omitempty"`
	Progress *progress     `json:"prompt_progress,omitempty"`
	Timings  *timings      `json:"timings,omitempty"`
}

type chunkChoice struct {
	Index    int       `json:"index"`
	Delta    delta     `json:"delta"`
	LogProbs *logProbs `json:"logprobs,omitempty"`
	Finish   *string   `json:"finish_reason"`
}

// delta is what comes to a message.
type delta struct {
	Role      string      `json:"role,omitempty"`
	Content   *string     `json:"content,omitempty"`
	Reasoning *string     `json:"reasoning_content,omitempty"`
	ToolCalls []callDelta `json:"tool_calls,omitempty"`
}

// callDelta is what comes to a call: its name first, and then its arguments.
type callDelta struct {
	Index    int    `json:"index"`
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Function struct {
		Name      string `json:"name,omitempty"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// progress says how far the prompt is computed, as llama-server does.
type progress struct {
	Total  int     `json:"total"`
	Cached int     `json:"cache"`
	Done   int     `json:"processed"`
	Took   float64 `json:"time_ms"`
}

func progressOf(p service.Progress) *progress {
	return &progress{p.Total, p.Cached, p.Done, milliseconds(p.Took)}
}

// begin begins the stream, if it has not begun.
func (c *chatAnswer) begin() error {
	if c.events.Begun() {
		return nil
	}
	for i := range c.choices {
		if err := c.send(i, delta{Role: "assistant", Content: new("")}); err != nil {
			return err
		}
	}
	return nil
}

// wait says that the answer will come, while its model is not there.
func (c *chatAnswer) wait() error {
	if !c.events.Begun() {
		return c.begin()
	}
	return c.beat(service.Event{Kind: service.Beat})
}

// stream sends the answer as it comes. A write that fails ends it: the client has gone away, or does
// not read.
func (c *chatAnswer) stream(ctx context.Context, h http.Header) error {
	if c.begin() != nil {
		return nil
	}
	for e, err := range c.said(ctx) {
		if err != nil {
			return fail(c.events, err)
		}
		if c.tell(e) != nil {
			return nil
		}
	}
	wire.CacheBehind(h, c.answer.Usage())
	if c.body.StreamOptions.IncludeUsage && c.events.Event("", chatChunk{head: c.head, Choices: []chunkChoice{}, Usage: c.usage()}) != nil {
		return nil
	}
	_ = c.events.Text("[DONE]") // an error: the client has gone away
	return nil
}

// fail ends a stream with an error, which a client that has gone away does not need. What has not begun is
// not ended: it returns the error.
func fail(s *wire.Stream, err error) error {
	if !s.Begun() {
		return err
	}
	f := faultOf(err)
	if f.Status != wire.StatusClosed && s.Event("", errorOf(f)) == nil {
		_ = s.Text("[DONE]") // an error: the client has gone away
	}
	return nil
}

// send sends a delta of a text.
func (c *chatAnswer) send(text int, d delta) error {
	return c.events.Event("", chatChunk{head: c.head, Choices: []chunkChoice{{Index: text, Delta: d}}})
}

// tell sends what an event says.
func (c *chatAnswer) tell(e service.Event) error {
	switch e.Kind {
	case service.Prefill, service.Beat:
		return c.beat(e)
	case service.Finished:
		c.choices[e.Text].add(e)
		reason := c.choices[e.Text].reason()
		out := chatChunk{head: c.head, Choices: []chunkChoice{{Index: e.Text, Finish: &reason}}}
		if !slices.ContainsFunc(c.choices, func(c choice) bool { return !c.done }) {
			out.Timings = c.timings()
		}
		return c.events.Event("", out)
	case service.Part:
	}
	choice := &c.choices[e.Text]
	choice.add(e)
	switch e.Part.Kind {
	case chat.Text:
		text := e.Part.Text // alone goes to the heap
		said := chunkChoice{Index: e.Text, Delta: delta{Content: &text}, LogProbs: c.logProbs(e)}
		return c.events.Event("", chatChunk{head: c.head, Choices: []chunkChoice{said}})
	case chat.Reasoning:
		text := e.Part.Text
		return c.send(e.Text, delta{Reasoning: &text})
	case chat.CallEnd: // only now is it certain that it is a call
		name, arguments := callDelta{Index: choice.calls - 1, ID: wire.CallID(callPrefix, e.Part.Call.ID), Type: "function"}, callDelta{Index: choice.calls - 1}
		name.Function.Name, arguments.Function.Arguments = e.Part.Call.Name, e.Part.Call.Arguments
		if err := c.send(e.Text, delta{ToolCalls: []callDelta{name}}); err != nil {
			return err
		}
		return c.send(e.Text, delta{ToolCalls: []callDelta{arguments}})
	case chat.Markup, chat.CallBegin, chat.CallArguments, chat.CallDrop:
	}
	return nil
}

// beat says that the answer is still coming, in a chunk that has data: programs count nothing else.
func (c *chatAnswer) beat(e service.Event) error {
	out := chatChunk{head: c.head}
	if c.body.ReturnProgress && e.Progress.Total > 0 {
		out.Progress = progressOf(e.Progress)
	}
	if e.Kind == service.Prefill && out.Progress == nil {
		return nil
	}
	going := max(slices.IndexFunc(c.choices, func(c choice) bool { return !c.done }), 0)
	out.Choices = []chunkChoice{{Index: going, Delta: delta{Content: new("")}}}
	return c.events.Event("", out)
}
