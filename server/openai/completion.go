package openai

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// complete answers /v1/completions.
func (h *Handler) complete(w http.ResponseWriter, r *http.Request) error {
	var body completionBody
	if fault := h.options.Read(w, r, &body); fault != nil {
		return fault
	}
	like, fault := body.request(r)
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
	c := &completion{
		body: &body, begun: begun, n: like.Config.NumReturnSequences,
		head: head{ID: wire.ID("cmpl-"), Object: "text_completion", Created: begun.Unix(), Model: model.Name},
	}
	var wait func() error
	if body.Stream {
		c.events = wire.NewEvents(w, h.options.Patience)
		wait = func() error { return c.send(completionChoice{}) }
	}
	m, done, err := h.options.Use(r.Context(), h.models, body.Model, wait)
	if err != nil {
		return fail(c.events, err)
	}
	defer done()
	requests, fault := body.requests(m, like)
	if fault != nil {
		return fail(c.events, fault)
	}
	c.texts = make([]completionText, len(requests)*c.n)
	answers := &several{model: &asked{Answerer: m, done: done, left: len(requests)}, requests: requests, whole: !body.Stream}
	if body.Stream {
		return c.stream(r.Context(), w.Header(), answers)
	}
	return c.whole(r.Context(), w, answers)
}

// asked is a model that is not used any more when it has begun as many answers as are asked for: they go on.
type asked struct {
	service.Answerer
	done func()

	mu   sync.Mutex
	left int // answers that have not begun
}

// Answer implements [service.Answerer].
func (a *asked) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	answer, err := a.Answerer.Answer(ctx, r)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left--; a.left == 0 {
		a.done()
	}
	return answer, nil
}

// completion is an answer to one or several prompts as it is told. Of each prompt there are n texts, one
// behind the other.
type completion struct {
	body   *completionBody
	begun  time.Time
	head   head
	n      int
	texts  []completionText
	usage  usage
	took   service.Usage
	events *wire.Stream // nil: it is told when it has ended
}

// completionText is one text as it is told so far.
type completionText struct {
	choice
	begun  bool
	ledger *ledger
}

// completionChoice is a text, or what comes to it.
type completionChoice struct {
	Index    int             `json:"index"`
	Text     string          `json:"text"`
	LogProbs *legacyLogProbs `json:"logprobs"`
	Finish   *string         `json:"finish_reason"`
}

// completionResponse is a whole response, and a chunk of a stream.
type completionResponse struct {
	head
	Choices  []completionChoice `json:"choices"`
	Usage    *usage             `json:"usage,omitempty"`
	Progress *progress          `json:"prompt_progress,omitempty"`
	Timings  *timings           `json:"timings,omitempty"`
}

// take returns what an event adds to the texts: at most two pieces, the first of which is the prompt
// where it is echoed.
func (c *completion) take(one saying) (out []completionChoice) {
	e := one.event
	if one.begun || e.Kind != service.Part && e.Kind != service.Finished {
		return nil
	}
	at := one.number*c.n + e.Text
	t := &c.texts[at]
	if !t.begun {
		t.begun, t.ledger = true, newLedger(one.answer.Tokenizer())
		if c.body.Echo {
			out = append(out, c.echo(at, t, one))
		}
	}
	t.add(e)
	said := completionChoice{Index: at, Text: e.Part.Text}
	if c.body.LogProbs != nil {
		said.LogProbs = t.ledger.add(e.Tokens, false)
	}
	if c.body.isEchoAlone() {
		said.Text, said.LogProbs = "", nil
	}
	if e.Kind == service.Finished {
		said.Finish = new(t.reason())
		if c.body.isEchoAlone() {
			said.Finish = new("length")
		}
		if c.ended(one.number) {
			c.count(one.answer.Usage())
		}
	}
	if said.Text == "" && said.Finish == nil && (said.LogProbs == nil || len(said.LogProbs.Tokens) == 0) {
		return out
	}
	return append(out, said)
}

// echo returns the prompt as a piece of a text.
func (c *completion) echo(at int, t *completionText, one saying) completionChoice {
	p := c.body.Prompt[one.number]
	tokens := one.answer.PromptTokens()
	said := completionChoice{Index: at, Text: p.text}
	if !p.isText {
		said.Text = one.answer.Tokenizer().Decode(p.ids, true)
	}
	if c.body.LogProbs != nil {
		said.LogProbs = t.ledger.add(tokens, true)
	}
	return said
}

// ended reports whether all texts of a prompt have ended.
func (c *completion) ended(number int) bool {
	return !slices.ContainsFunc(c.texts[number*c.n:(number+1)*c.n], func(t completionText) bool { return !t.done })
}

// count counts what a prompt has taken.
func (c *completion) count(u service.Usage) {
	if c.body.isEchoAlone() {
		u.New = 0
	}
	c.usage.add(u)
	c.took.Conversation, c.took.Diverged = u.Conversation, u.Diverged // of one of them
	c.took.Prompt += u.Prompt
	c.took.Cached += u.Cached
	c.took.New += u.New
	c.took.FirstToken, c.took.LastToken = max(c.took.FirstToken, u.FirstToken), max(c.took.LastToken, u.LastToken)
}

func (c *completion) timings() *timings { return timingsOf(c.took, time.Since(c.begun)) }

// whole writes the texts when all have ended.
func (c *completion) whole(ctx context.Context, w http.ResponseWriter, answers *several) error {
	out := completionResponse{head: c.head, Choices: make([]completionChoice, len(c.texts))}
	texts := make([]strings.Builder, len(c.texts))
	for one := range answers.events(ctx) {
		if one.err != nil {
			return one.err
		}
		for _, piece := range c.take(one) {
			whole := &out.Choices[piece.Index]
			texts[piece.Index].WriteString(piece.Text)
			whole.LogProbs = whole.LogProbs.append(piece.LogProbs)
			whole.Index, whole.Finish = piece.Index, piece.Finish
		}
	}
	for i := range texts {
		out.Choices[i].Text = texts[i].String()
	}
	out.Usage, out.Timings = &c.usage, c.timings()
	wire.Cache(w.Header(), c.took)
	_ = wire.JSON(w, http.StatusOK, out) // an error: the client has gone away
	return nil
}

// append returns lists with more behind them.
func (l *legacyLogProbs) append(more *legacyLogProbs) *legacyLogProbs {
	if l == nil || more == nil {
		return cmp.Or(l, more)
	}
	l.Tokens, l.LogProbs = append(l.Tokens, more.Tokens...), append(l.LogProbs, more.LogProbs...)
	l.Top, l.Offsets = append(l.Top, more.Top...), append(l.Offsets, more.Offsets...)
	return l
}

// stream sends the texts as they come. A write that fails ends it.
func (c *completion) stream(ctx context.Context, h http.Header, answers *several) error {
	for one := range answers.events(ctx) {
		if one.err != nil {
			return fail(c.events, one.err)
		}
		if !c.events.Begun() && c.send(completionChoice{}) != nil || c.tell(one) != nil {
			return nil
		}
	}
	wire.CacheBehind(h, c.took)
	if c.body.StreamOptions.IncludeUsage && c.events.Event("", completionResponse{head: c.head, Choices: []completionChoice{}, Usage: &c.usage}) != nil {
		return nil
	}
	_ = c.events.Text("[DONE]") // an error: the client has gone away
	return nil
}

// tell sends what an event says.
func (c *completion) tell(one saying) error {
	for _, piece := range c.take(one) {
		out := c.piece(piece)
		if piece.Finish != nil && !slices.ContainsFunc(c.texts, func(t completionText) bool { return !t.done }) {
			out.Timings = c.timings()
		}
		if err := c.events.Event("", out); err != nil {
			return err
		}
	}
	if one.begun || one.event.Kind != service.Prefill && one.event.Kind != service.Beat {
		return nil
	}
	going := max(slices.IndexFunc(c.texts, func(t completionText) bool { return !t.done }), 0)
	out := c.piece(completionChoice{Index: going})
	if c.body.ReturnProgress && one.event.Progress.Total > 0 {
		out.Progress = progressOf(one.event.Progress)
	}
	if one.event.Kind == service.Prefill && out.Progress == nil {
		return nil
	}
	return c.events.Event("", out)
}

// send sends a piece of a text.
func (c *completion) send(said completionChoice) error { return c.events.Event("", c.piece(said)) }

// piece returns a chunk.
func (c *completion) piece(said completionChoice) completionResponse {
	return completionResponse{head: c.head, Choices: []completionChoice{said}}
}
