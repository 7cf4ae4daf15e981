package responses

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// create answers a request with a response, whole or event by event. It is kept before its last event is
// written, so that whoever has read that finds it.
func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	q, s, first, fault := h.read(w, r)
	if fault != nil {
		return fault
	}
	model, err := h.models.Find(q.Model)
	if err != nil {
		return err
	}
	if q.Model == "" {
		q.Model = model.Name
	}
	out := newResponse(q)
	if first == "" && out.Store {
		first = out.ID
	}
	s.Conversation = q.conversation(r, first)
	d := newDraft(q, out)
	var events *wire.Stream
	var wait func() error
	if q.Stream {
		events = wire.NewEvents(w, h.options.Patience)
		d.send = func(e event) error { return events.Event(e.Type, e) }
		wait = d.wait
	}
	answer, err := h.options.Answer(r.Context(), h.models, q.Model, s, wait)
	var usage service.Usage
	if err == nil {
		defer answer.Close()
		if !q.Stream && !d.single { // or it ends before the model does
			answer.Wait(r.Context())
		}
		err = d.read(r.Context(), answer)
		usage = answer.Usage()
	}
	if err != nil && !events.Begun() {
		return err
	}
	out.Usage = usageOf(usage)
	switch { // what has happened in the middle of a stream is how it ends
	case err == nil:
	case events.Lost() || errors.Is(err, context.Canceled): // the client has gone away
		_ = d.cut("cancelled")
	default:
		_ = d.fail(faultOf(err)) // what is not told cannot be
	}
	h.keep(out, q.Input, wire.Salt(r.Context(), ""))
	if !q.Stream {
		wire.Cache(w.Header(), usage)
		_ = wire.JSON(w, http.StatusOK, out) // nobody is told that a client does not read
		return nil
	}
	wire.CacheBehind(w.Header(), usage)
	_ = d.end() // of nobody who could be told
	return nil
}

// read reads a request: what it asks for, and the first response of the conversation that it continues;
// "": it continues none.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (q *request, s service.Request, first string, fault *wire.Fault) {
	q = new(request)
	if fault = h.options.Read(w, r, q); fault != nil {
		return nil, s, "", fault
	}
	var before []json.RawMessage
	if q.Previous != nil && *q.Previous == "" {
		q.Previous = nil
	}
	if q.Previous != nil {
		if before, first, fault = h.before(*q.Previous, wire.Salt(r.Context(), "")); fault != nil {
			return nil, s, "", fault
		}
	}
	s, skipped, fault := q.translate(r, before)
	wire.Skip(w.Header(), skipped)
	return q, s, first, fault
}

// count answers how many tokens the prompt of a request has.
func (h *Handler) count(w http.ResponseWriter, r *http.Request) error {
	q, s, _, fault := h.read(w, r)
	if fault != nil {
		return fault
	}
	model, done, err := h.models.Use(r.Context(), q.Model)
	if err != nil {
		return err
	}
	defer done()
	tokens, err := model.Count(s)
	if err != nil {
		return err
	}
	_ = wire.JSON(w, http.StatusOK, struct {
		Object string `json:"object"`
		Tokens int    `json:"input_tokens"`
	}{"response.input_tokens", tokens})
	return nil
}
