package anthropic

import (
	"errors"
	"net/http"
	"slices"
	"strings"

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
	absent := func(http.ResponseWriter, *http.Request) error {
		return wire.NotOffered("batches of messages: send them at once, and one step serves all of them")
	}
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /v1/messages":              h.messages,
		"POST /v1/messages/count_tokens": h.count,
		"/v1/messages/batches":           absent,
		"/v1/messages/batches/":          absent,
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
	name, err := h.modelName(q.Model)
	if err != nil {
		return err
	}
	if q.Model == "" {
		q.Model = name
	}
	var events *wire.Stream
	var ping func() error
	d := newDraft(q)
	if q.Stream {
		events = wire.NewEvents(w, h.options.Patience)
		d.send = func(e event) error { return events.Event(e.Type, e) }
		ping = d.ping
	}
	answer, err := h.options.Answer(r.Context(), h.models, name, s, ping)
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

// modelName returns the name of the model that answers a request for one. Claude Code asks small models of
// Anthropic's beside a conversation, whatever it was told to use: the model that answers soonest answers
// those, so that none is loaded for them.
func (h *Handler) modelName(asked string) (string, error) {
	m, err := h.models.Find(asked)
	if _, unknown := errors.AsType[*service.UnknownModelError](err); unknown && strings.HasPrefix(asked, "claude-") {
		list := h.models.List()
		return list[max(0, slices.IndexFunc(list, func(m service.Model) bool { return m.Soonest }))].Name, nil
	}
	return m.Name, err
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
	name, err := h.modelName(q.Model)
	if err != nil {
		return err
	}
	model, done, err := h.models.Use(r.Context(), name)
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
