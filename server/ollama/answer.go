package ollama

import (
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

func (h *Handler) chat(w http.ResponseWriter, r *http.Request) {
	var q chatBody
	h.answer(w, r, &q, &q.fields, func(a service.Answerer) (service.Request, bool, *wire.Fault) {
		s, fault := q.request(r, a.Model())
		return s, len(q.Messages) == 0, fault
	})
}

func (h *Handler) generate(w http.ResponseWriter, r *http.Request) {
	var q generateBody
	h.answer(w, r, &q, &q.fields, func(a service.Answerer) (service.Request, bool, *wire.Fault) {
		s, fault := q.request(r, a)
		return s, q.Prompt == "" && q.System == "", fault
	})
}

// answer answers a request whose body is read into one that has the fields. request returns what it asks
// of a model, or that it only wants the model loaded.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, body any, f *fields, request func(service.Answerer) (service.Request, bool, *wire.Fault)) {
	out := &writer{w: w, begun: time.Now()}
	_, out.chat = body.(*chatBody)
	if fault := h.read(w, r, body); fault != nil {
		WriteFault(w, fault)
		return
	}
	model, done, err := h.models.Use(r.Context(), modelName(f.Model))
	if err != nil {
		WriteFault(w, wire.FaultOf(err))
		return
	}
	defer done()
	out.load = time.Since(out.begun)
	if out.model = f.Model; out.model == "" {
		out.model = model.Model().Name + latest
	}
	s, loads, fault := request(model)
	if fault != nil {
		WriteFault(w, fault)
		return
	}
	if loads {
		_ = wire.JSON(w, http.StatusOK, out.line(said{Role: assistant}, "load", service.Usage{}))
		return
	}
	answer, err := model.Answer(r.Context(), s)
	if err != nil {
		WriteFault(w, wire.FaultOf(err))
		return
	}
	defer answer.Close()
	if f.streams() {
		if out.stream, err = wire.NewLines(w, h.options.Patience); err != nil {
			return // the client has gone
		}
	}
	out.write(r, answer)
}

const assistant = "assistant"

// write writes an answer as it comes, or at its end. A client that has gone reads nothing more.
func (o *writer) write(r *http.Request, answer *service.Answer) {
	o.whole.Role = assistant
	finish := generate.Unfinished
	for e, err := range answer.Events(r.Context()) {
		var part said
		switch {
		case err != nil:
			o.fail(wire.FaultOf(err))
			return
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
		part.Role = assistant // of a beat it is all that there is
		if o.stream == nil {
			o.whole.Content += part.Content
			o.whole.Thinking += part.Thinking
			o.whole.Calls = append(o.whole.Calls, part.Calls...)
		} else if o.stream.Line(o.line(part, "", service.Usage{})) != nil {
			return
		}
	}
	last := o.line(o.whole, reason(finish), answer.Usage())
	if o.stream == nil {
		_ = wire.JSON(o.w, http.StatusOK, last)
	} else {
		_ = o.stream.Line(last)
	}
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
		first := min(u.FirstToken, total)
		l.spent = &spent{Total: total, Load: o.load, Prompt: u.Prompt, PromptDuration: first, New: u.New, Cached: u.Cached}
		if u.New > 0 {
			l.NewDuration = total - o.load - first
		}
	}
	return l
}

// fail says that an answer has failed.
func (o *writer) fail(f *wire.Fault) {
	if o.stream == nil {
		WriteFault(o.w, f)
		return
	}
	_ = o.stream.Line(map[string]string{"error": f.Message})
}

// reason returns Ollama's word for why a text has ended.
func reason(f generate.Finish) string {
	if f == generate.LengthLimit || f == generate.TimeLimit {
		return "length"
	}
	return "stop"
}
