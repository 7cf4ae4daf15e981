package ollama

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// tokenizing is how a prompt is read that no template renders: special tokens in it are those.
var tokenizing = tokenizer.Options{AddSpecial: true, ParseSpecial: true}

// line is a line of an answer, or the whole of it. Exactly one of Message and Response is there.
type line struct {
	Model    string    `json:"model"`
	Created  time.Time `json:"created_at"`
	Message  *said     `json:"message,omitempty"`  // of /api/chat
	Response *string   `json:"response,omitempty"` // of /api/generate
	Thinking string    `json:"thinking,omitempty"` // of /api/generate
	Done     bool      `json:"done"`
	Reason   string    `json:"done_reason,omitempty"`

	*spent
}

// spent is what the last line says that an answer has taken: nanoseconds and tokens.
type spent struct {
	Total          time.Duration `json:"total_duration"`
	Load           time.Duration `json:"load_duration"`
	Prompt         int           `json:"prompt_eval_count"`
	PromptDuration time.Duration `json:"prompt_eval_duration"`
	New            int           `json:"eval_count"`
	NewDuration    time.Duration `json:"eval_duration"`
	Cached         int           `json:"cached_prompt_tokens"` // of Prompt, those that were not computed. Not Ollama's
}

// said is a message of the assistant, or a part of it.
type said struct {
	Role     string `json:"role"`
	Content  string `json:"content"`
	Thinking string `json:"thinking,omitempty"`
	Calls    []call `json:"tool_calls,omitempty"`
}

type call struct {
	ID       string `json:"id,omitempty"`
	Function struct {
		Index     int             `json:"index"`
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"` // an object
	} `json:"function"`
}

// writer writes one answer.
type writer struct {
	w     http.ResponseWriter
	model string
	chat  bool // of /api/chat
	begun time.Time
	load  time.Duration
	calls int // so far

	stream *wire.Stream // nil: the answer is written at its end
	whole  said
}

// body is the body of a request for an answer.
type body interface {
	common() *fields
	isEmpty() bool // it only wants the model loaded, or unloaded
	request(*http.Request, service.Answerer) (service.Request, *wire.Fault)
}

func (h *Handler) chat(w http.ResponseWriter, r *http.Request) error {
	return h.answer(w, r, new(chatBody))
}

func (h *Handler) generate(w http.ResponseWriter, r *http.Request) error {
	return h.answer(w, r, new(generateBody))
}

// answer answers a request whose body is read into q.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, q body) error {
	out := &writer{w: w, begun: time.Now()}
	_, out.chat = q.(*chatBody)
	if fault := h.options.Read(w, r, q); fault != nil {
		return fault
	}
	f := q.common()
	about, err := h.models.Find(modelName(f.Model))
	if err != nil {
		return err
	}
	if out.model = f.Model; out.model == "" {
		out.model = about.Name + latest
	}
	var wait func() error
	if f.streams() {
		out.stream, wait = wire.NewLines(w, h.options.Patience), out.wait
	}
	if q.isEmpty() && f.unloads() {
		return out.last(said{Role: assistant}, "unload", service.Usage{})
	}
	model, done, err := h.options.Use(r.Context(), h.models, modelName(f.Model), wait)
	if err != nil {
		return out.fail(err)
	}
	defer done()
	out.load = time.Since(out.begun)
	s, fault := q.request(r, model)
	if fault != nil {
		return out.fail(fault)
	}
	if q.isEmpty() {
		return out.last(said{Role: assistant}, "load", service.Usage{})
	}
	answer, err := model.Answer(r.Context(), s)
	if err != nil {
		return out.fail(err)
	}
	defer answer.Close()
	done() // the answer goes on
	return out.write(r.Context(), answer)
}

const assistant = "assistant"

// write writes an answer as it comes, or at its end. A client that has gone reads nothing more.
func (o *writer) write(ctx context.Context, answer *service.Answer) error {
	if o.stream != nil && o.stream.Begin() != nil {
		return nil
	}
	o.whole.Role = assistant
	if o.stream == nil {
		answer.Wait(ctx)
	}
	finish := generate.Unfinished
	for e, err := range answer.Events(ctx) {
		var part said
		switch {
		case err != nil:
			return o.fail(err)
		case e.Kind == service.Part:
			part = o.part(e.Part)
			if part.Content == "" && part.Thinking == "" && part.Calls == nil {
				continue
			}
		case e.Kind == service.Finished:
			finish = e.Finish
			continue
		case e.Kind == service.Prefill:
			continue
		}
		if o.stream == nil {
			o.whole.Content += part.Content
			o.whole.Thinking += part.Thinking
			o.whole.Calls = append(o.whole.Calls, part.Calls...)
		} else if o.send(part) != nil {
			return nil
		}
	}
	return o.last(o.whole, reason(finish), answer.Usage())
}

// wait says that the answer will come, while its model is not there.
func (o *writer) wait() error { return o.send(said{}) }

// send sends a part of an answer. One with nothing in it says that the answer goes on.
func (o *writer) send(part said) error {
	part.Role = assistant
	return o.stream.Line(o.line(part, "", service.Usage{}))
}

// last writes the last line, or the whole answer.
func (o *writer) last(part said, reason string, u service.Usage) error {
	if l := o.line(part, reason, u); o.stream != nil {
		_ = o.stream.Line(l) // nobody is told that a client does not read
	} else {
		_ = wire.JSON(o.w, http.StatusOK, l)
	}
	return nil
}

// part returns what a part of a text is.
func (o *writer) part(e chat.Event) (s said) {
	switch e.Kind {
	case chat.Text:
		s.Content = e.Text
	case chat.Reasoning:
		s.Thinking = e.Text
	case chat.CallEnd:
		if !o.chat || !json.Valid([]byte(e.Call.Arguments)) {
			s.Content = e.Source // whoever asked knows no calls, or it is none
			return s
		}
		c := call{ID: e.Call.ID}
		c.Function.Index, c.Function.Name, c.Function.Arguments = o.calls, e.Call.Name, json.RawMessage(e.Call.Arguments)
		o.calls++
		s.Calls = []call{c}
	case chat.Markup, chat.CallBegin, chat.CallArguments, chat.CallDrop:
	}
	return s
}

// line returns a line with a part of an answer, and at its end why it has ended and what it has taken.
func (o *writer) line(part said, reason string, u service.Usage) line {
	l := line{Model: o.model, Created: time.Now().UTC(), Done: reason != "", Reason: reason}
	if o.chat {
		l.Message = &part
	} else {
		l.Response, l.Thinking = &part.Content, part.Thinking
	}
	if l.Done {
		total := time.Since(o.begun)
		l.spent = &spent{Total: total, Load: o.load, Prompt: u.Prompt, PromptDuration: u.FirstToken, New: u.New, NewDuration: u.LastToken - u.FirstToken, Cached: u.Cached}
	}
	return l
}

// fail says that an answer has failed, if it is a stream that has begun. Otherwise it returns the error.
func (o *writer) fail(err error) error {
	if !o.stream.Begun() {
		return err
	}
	_ = o.stream.Line(map[string]string{"error": wire.FaultOf(err).Message}) // a client that has gone reads no error
	return nil
}

// reason returns Ollama's word for why a text has ended.
func reason(f generate.Finish) string {
	if f == generate.LengthLimit || f == generate.TimeLimit {
		return "length"
	}
	return "stop"
}
