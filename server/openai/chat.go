package openai

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// chat answers /v1/chat/completions.
func (h *Handler) chat(w http.ResponseWriter, r *http.Request) error {
	var body chatBody
	if fault := h.options.Read(w, r, &body); fault != nil {
		return fault
	}
	request, fault := body.request(r)
	if fault != nil {
		return fault
	}
	model, err := h.models.Find(body.Model)
	if err != nil {
		return err
	}
	if fault := body.checkVocabulary(model); fault != nil {
		return fault
	}
	begun := time.Now()
	c := &chatAnswer{
		body: &body, begun: begun,
		head:    head{ID: wire.ID("chatcmpl-"), Object: "chat.completion", Created: begun.Unix(), Model: model.Name},
		choices: make([]choice, request.Config.NumReturnSequences),
	}
	var wait func() error
	if body.Stream {
		c.head.Object = "chat.completion.chunk"
		c.events, wait = wire.NewEvents(w, h.options.Patience), c.wait
	}
	if c.answer, err = h.options.Answer(r.Context(), h.models, body.Model, request, wait); err != nil {
		return fail(c.events, err)
	}
	defer c.answer.Close()
	if body.Stream {
		return c.stream(r.Context(), w.Header())
	}
	return c.whole(r.Context(), w)
}

// head is what responses and chunks begin with.
type head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
}

// chatAnswer is an answer to a chat as it is told.
type chatAnswer struct {
	body    *chatBody
	answer  *service.Answer
	begun   time.Time
	head    head
	choices []choice
	events  *wire.Stream // nil: it is told when it has ended
}

// single reports whether a text may have one call alone.
func (c *chatAnswer) single() bool { return !wire.Or(c.body.ParallelToolCalls, true) }

// said yields the events of the answer. Where a text may have one call alone, it ends behind that.
func (c *chatAnswer) said(ctx context.Context) iter.Seq2[service.Event, error] {
	if !c.single() {
		return c.answer.Events(ctx)
	}
	return func(yield func(service.Event, error) bool) {
		ended := make([]bool, len(c.choices))
		left := len(ended)
		for e, err := range c.answer.Events(ctx) {
			isText := err == nil && (e.Kind == service.Part || e.Kind == service.Finished)
			if isText && ended[e.Text] {
				continue
			}
			if !yield(e, err) {
				return
			}
			switch {
			case !isText || e.Kind == service.Part && e.Part.Kind != chat.CallEnd:
				continue
			case e.Kind == service.Part && !yield(service.Event{Kind: service.Finished, Text: e.Text, Finish: generate.EndToken}, nil):
				return
			}
			ended[e.Text] = true
			if left--; left == 0 {
				return
			}
		}
	}
}

// logProbs returns the log-probabilities of the tokens of a part of the content, if they are asked for.
func (c *chatAnswer) logProbs(e service.Event) *logProbs {
	if !c.body.LogProbs {
		return nil
	}
	return &logProbs{logProbsOf(c.answer.Tokenizer(), e.Tokens)}
}

// usage returns what the answer has taken.
func (c *chatAnswer) usage() *usage {
	u := &usage{}
	u.add(c.answer.Usage())
	return u
}

func (c *chatAnswer) timings() *timings {
	return timingsOf(c.answer.Usage(), time.Since(c.begun))
}

// chatResponse is a whole response.
type chatResponse struct {
	head
	Choices []chatChoice `json:"choices"`
	Usage   *usage       `json:"usage"`
	Timings *timings     `json:"timings"`
}

type chatChoice struct {
	Index    int         `json:"index"`
	Message  chatMessage `json:"message"`
	LogProbs *logProbs   `json:"logprobs"`
	Finish   string      `json:"finish_reason"`
}

type chatMessage struct {
	Role      string          `json:"role"`
	Content   *string         `json:"content"` // null: there are calls alone
	Reasoning string          `json:"reasoning_content,omitempty"`
	ToolCalls []chat.ToolCall `json:"tool_calls,omitempty"`
}

// whole writes the answer when it has ended.
func (c *chatAnswer) whole(ctx context.Context, w http.ResponseWriter) error {
	messages := make([]chat.Message, len(c.choices))
	probable := make([]logProbs, len(c.choices))
	if !c.single() { // or it ends before the model does
		c.answer.Wait(ctx)
	}
	for e, err := range c.said(ctx) {
		if err != nil {
			return err
		}
		if e.Kind != service.Part && e.Kind != service.Finished {
			continue
		}
		c.choices[e.Text].add(e)
		if e.Kind == service.Part {
			e.Part.Call.ID = wire.CallID(callPrefix, e.Part.Call.ID)
			messages[e.Text].Append(e.Part)
			if p := c.logProbs(e); p != nil && e.Part.Kind == chat.Text {
				probable[e.Text].Content = append(probable[e.Text].Content, p.Content...)
			}
		}
	}
	out := chatResponse{head: c.head, Usage: c.usage(), Timings: c.timings()}
	for i, m := range messages {
		one := chatChoice{Index: i, Message: chatMessage{"assistant", &m.Content, m.Reasoning, m.ToolCalls}, Finish: c.choices[i].reason()}
		if m.Content == "" && len(m.ToolCalls) > 0 {
			one.Message.Content = nil
		}
		if c.body.LogProbs {
			one.LogProbs = &logProbs{append([]tokenLogProb{}, probable[i].Content...)}
		}
		out.Choices = append(out.Choices, one)
	}
	wire.Cache(w.Header(), c.answer.Usage())
	_ = wire.JSON(w, http.StatusOK, out) // an error: the client has gone away
	return nil
}
