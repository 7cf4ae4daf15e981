package anthropic

import (
	"net/http"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Handler answers the requests of the messages API.
type Handler struct {
	models  service.Models
	options wire.Options
}

// New returns a Handler that answers with some models.
func New(models service.Models, o wire.Options) *Handler { return &Handler{models, o} }

// Register adds the handler's routes.
func (h *Handler) Register(mux wire.Mux) {
	absent := func(_ http.ResponseWriter, r *http.Request) error { return wire.NotFound(r) }
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /v1/messages":              h.messages,
		"POST /v1/messages/count_tokens": h.count,
		"/v1/messages":                   absent,
		"/v1/messages/":                  absent,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(w, r); err != nil {
				_ = WriteFault(w, wire.FaultOf(err)) // a client that has gone reads no error
			}
		})
	}
}

// messages answers a request with a message, whole or event by event.
func (h *Handler) messages(w http.ResponseWriter, r *http.Request) error {
	q, s, fault := h.read(w, r)
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
	var events *wire.Stream
	var ping func() error
	d := newDraft(q)
	if q.Stream {
		events = wire.NewEvents(w, h.options.Patience)
		d.send = func(e event) error { return events.Event(e.Type, e) }
		ping = d.ping
	}
	answer, err := h.options.Answer(r.Context(), h.models, q.Model, s, ping)
	if err != nil {
		return fail(events, err)
	}
	defer answer.Close()
	if q.Stream {
		err := d.read(r.Context(), answer)
		wire.CacheBehind(w.Header(), answer.Usage())
		return fail(events, err)
	}
	if !d.single { // or it ends before the model does
		answer.Wait(r.Context())
	}
	if err := d.read(r.Context(), answer); err != nil {
		return err
	}
	wire.Cache(w.Header(), answer.Usage())
	_ = wire.JSON(w, http.StatusOK, d.message) // nobody is told that a client does not read
	return nil
}

// fail ends a stream with an error, if it is one, as an event. What has not begun is not ended: it returns
// the error.
func fail(events *wire.Stream, err error) error {
	if err == nil || !events.Begun() {
		return err
	}
	if f := wire.FaultOf(err); f.Status != wire.StatusClosed {
		_ = events.Event("error", failure(f)) // a client that has gone reads no error
	}
	return nil
}

// count answers how many tokens the prompt of a request has.
func (h *Handler) count(w http.ResponseWriter, r *http.Request) error {
	q, s, fault := h.read(w, r)
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
		Tokens int `json:"input_tokens"`
	}{tokens})
	return nil
}

// read reads a request.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*request, service.Request, *wire.Fault) {
	var q request
	if fault := h.options.Read(w, r, &q); fault != nil {
		return nil, service.Request{}, fault
	}
	s, skipped, fault := q.translate(r)
	wire.Skip(w.Header(), skipped)
	return &q, s, fault
}
