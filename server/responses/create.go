package responses

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// create answers a request with a response, whole or event by event.
func (h *Handler) create(w http.ResponseWriter, r *http.Request) {
	var q request
	s, first, fault := h.read(w, r, &q)
	if fault != nil {
		openai.WriteFault(w, fault)
		return
	}
	model, done, err := h.models.Use(r.Context(), q.Model)
	if err != nil {
		openai.WriteFault(w, faultOf(err))
		return
	}
	defer done()
	if q.Model == "" {
		q.Model = model.Model().Name
	}
	out := newResponse(&q)
	if first == "" && out.Store {
		first = out.ID
	}
	s.Conversation = q.conversation(r, first)
	answer, err := model.Answer(r.Context(), s)
	if err != nil {
		openai.WriteFault(w, faultOf(err))
		return
	}
	defer answer.Close()
	salt := wire.Salt(r.Context(), "")
	if q.Stream {
		h.stream(r.Context(), w, stream{&q, out, answer, salt})
		return
	}
	d := newDraft(&q, out, func(event) error { return nil })
	if err := d.read(r.Context(), answer); err != nil {
		openai.WriteFault(w, faultOf(err))
		return
	}
	h.keep(out, q.Input, salt)
	wire.Cache(w.Header(), answer.Usage())
	_ = wire.JSON(w, http.StatusOK, out) // nobody is told that a client does not read
}

// read reads a request: what it asks for, and the first response of the conversation that it continues;
// "": it continues none.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, q *request) (s service.Request, first string, fault *wire.Fault) {
	data, fault := wire.Read(w, r, h.options.Body)
	if fault != nil {
		return s, "", fault
	}
	if fault := wire.Decode(data, q); fault != nil {
		return s, "", fault
	}
	var before []json.RawMessage
	if q.Previous != nil && *q.Previous == "" {
		q.Previous = nil
	}
	if q.Previous != nil {
		if before, first, fault = h.before(*q.Previous, wire.Salt(r.Context(), "")); fault != nil {
			return s, "", fault
		}
	}
	s, skipped, fault := q.translate(r, before)
	wire.Skip(w.Header(), skipped)
	return s, first, fault
}

// stream is a response that is written event by event.
type stream struct {
	request *request
	out     *response
	answer  *service.Answer
	salt    string
}

// stream writes a response event by event. What happens in the middle is how it ends. It is kept before
// the last event is written, so that whoever has read that finds it.
func (h *Handler) stream(ctx context.Context, w http.ResponseWriter, s stream) {
	events, err := wire.NewEvents(w, h.options.Patience)
	if err != nil {
		return
	}
	broken := false // the client reads no more
	d := newDraft(s.request, s.out, func(e event) error {
		if broken {
			return nil
		}
		err := events.Event(e.Type, e)
		broken = err != nil
		return err
	})
	if err = d.begin(); err == nil {
		err = d.read(ctx, s.answer)
	}
	if err != nil {
		if broken || errors.Is(err, context.Canceled) { // the client has gone away
			broken = true
			err = d.cut("cancelled")
		} else {
			err = d.fail(faultOf(err))
		}
		d.response.Usage = usageOf(s.answer.Usage())
	}
	h.keep(s.out, s.request.Input, s.salt)
	wire.CacheBehind(w.Header(), s.answer.Usage())
	if err == nil {
		_ = d.end() // of nobody who could be told
	}
}

// read makes the response of the whole answer.
func (d *draft) read(ctx context.Context, answer *service.Answer) error {
	for e, err := range answer.Events(ctx) {
		if err != nil {
			return err
		}
		done, err := d.take(e)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	d.response.Usage = usageOf(answer.Usage())
	return nil
}

// count answers how many tokens the prompt of a request has.
func (h *Handler) count(w http.ResponseWriter, r *http.Request) {
	var q request
	s, _, fault := h.read(w, r, &q)
	if fault != nil {
		openai.WriteFault(w, fault)
		return
	}
	model, done, err := h.models.Use(r.Context(), q.Model)
	if err != nil {
		openai.WriteFault(w, faultOf(err))
		return
	}
	defer done()
	tokens, err := model.Count(s)
	if err != nil {
		openai.WriteFault(w, faultOf(err))
		return
	}
	_ = wire.JSON(w, http.StatusOK, struct {
		Object string `json:"object"`
		Tokens int    `json:"input_tokens"`
	}{"response.input_tokens", tokens})
}
