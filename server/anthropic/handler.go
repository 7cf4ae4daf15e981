package anthropic

import (
	"context"
	"net/http"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// Options say how a Handler works. The zero value is useful.
type Options struct {
	Body     int64         // bytes that a body may have; 0: [wire.DefaultBody]
	Patience time.Duration // for how long a client may read nothing; 0: [wire.DefaultPatience]
}

// Handler answers the requests of the messages API.
type Handler struct {
	models  service.Models
	options Options
}

// New returns a Handler that answers with some models.
func New(models service.Models, o Options) *Handler { return &Handler{models, o} }

// Register adds the handler's routes.
func (h *Handler) Register(mux wire.Mux) {
	mux.HandleFunc("POST /v1/messages", h.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", h.count)
	absent := func(w http.ResponseWriter, r *http.Request) { _ = WriteFault(w, wire.NotFound(r)) }
	mux.HandleFunc("/v1/messages", absent)
	mux.HandleFunc("/v1/messages/", absent)
}

// messages answers a request with a message, whole or event by event.
func (h *Handler) messages(w http.ResponseWriter, r *http.Request) {
	var q request
	s, fault := h.read(w, r, &q)
	if fault != nil {
		_ = WriteFault(w, fault)
		return
	}
	model, done, err := h.models.Use(r.Context(), q.Model)
	if err != nil {
		_ = WriteFault(w, wire.FaultOf(err))
		return
	}
	defer done()
	if q.Model == "" {
		q.Model = model.Model().Name
	}
	answer, err := model.Answer(r.Context(), s)
	if err != nil {
		_ = WriteFault(w, wire.FaultOf(err))
		return
	}
	defer answer.Close()
	if q.Stream {
		h.stream(r.Context(), w, &q, answer)
		return
	}
	d := newDraft(&q, func(event) error { return nil })
	if err := d.read(r.Context(), answer); err != nil {
		_ = WriteFault(w, wire.FaultOf(err))
		return
	}
	wire.Cache(w.Header(), answer.Usage())
	_ = wire.JSON(w, http.StatusOK, d.message) // nobody is told that a client does not read
}

// stream writes a message event by event. What happens in the middle is an event, too.
func (h *Handler) stream(ctx context.Context, w http.ResponseWriter, q *request, answer *service.Answer) {
	out, err := wire.NewEvents(w, h.options.Patience)
	if err != nil {
		return
	}
	broken := false // the client reads no more
	d := newDraft(q, func(e event) error {
		err := out.Event(e.Type, e)
		broken = err != nil
		return err
	})
	err = d.begin(answer.Usage())
	if err == nil {
		err = d.read(ctx, answer)
	}
	wire.CacheBehind(w.Header(), answer.Usage())
	if err != nil && !broken {
		_ = out.Event("error", failure(wire.FaultOf(err)))
	}
}

// read makes the message of the whole answer.
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
	return d.finish(answer.Usage())
}

// count answers how many tokens the prompt of a request has.
func (h *Handler) count(w http.ResponseWriter, r *http.Request) {
	var q request
	s, fault := h.read(w, r, &q)
	if fault != nil {
		_ = WriteFault(w, fault)
		return
	}
	model, done, err := h.models.Use(r.Context(), q.Model)
	if err != nil {
		_ = WriteFault(w, wire.FaultOf(err))
		return
	}
	defer done()
	tokens, err := model.Count(s)
	if err != nil {
		_ = WriteFault(w, wire.FaultOf(err))
		return
	}
	_ = wire.JSON(w, http.StatusOK, struct {
		Tokens int `json:"input_tokens"`
	}{tokens})
}

// read reads a request.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, q *request) (s service.Request, fault *wire.Fault) {
	data, fault := wire.Read(w, r, h.options.Body)
	if fault != nil {
		return s, fault
	}
	if fault := wire.Decode(data, q); fault != nil {
		return s, fault
	}
	s, skipped, fault := q.translate(r)
	wire.Skip(w.Header(), skipped)
	return s, fault
}
