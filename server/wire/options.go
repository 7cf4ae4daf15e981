package wire

import (
	"context"
	"net/http"
	"time"

	"github.com/seed4d217819/ebb/service"
)

// DefaultBeat is after how long by default a stream says that it goes on.
const DefaultBeat = 8 * time.Second

// Options say how requests are read and answered. The zero value is useful.
type Options struct {
	Body     int64         // bytes that a body may have; 0: [DefaultBody]
	Patience time.Duration // for how long a client may read nothing; 0: [DefaultPatience]
	// Beat is after how long a stream says that it goes on while it waits for its model. 0: [DefaultBeat].
	Beat time.Duration
}

// Read reads the body of a request, which is a JSON object, into a struct; see [Read] and [Decode].
func (o Options) Read(w http.ResponseWriter, r *http.Request, into any) *Fault {
	data, fault := Read(w, r, o.Body)
	if fault != nil {
		return fault
	}
	return Decode(data, into)
}

// Use waits for the model with a name; see [service.Models]. beat is called again and again meanwhile, so
// that it can tell the client of a stream that the answer will come: not before a while has passed, in
// which an error can still have a status of its own. Its error ends the waiting. nil: nobody is told.
func (o Options) Use(ctx context.Context, models service.Models, name string, beat func() error) (service.Answerer, func(), error) {
	if beat == nil {
		return models.Use(ctx, name)
	}
	if o.Beat == 0 {
		o.Beat = DefaultBeat
	}
	type used struct {
		model service.Answerer
		done  func()
		err   error
	}
	come := make(chan used, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		m, done, err := models.Use(ctx, name)
		come <- used{m, done, err}
	}()
	beats := time.NewTicker(o.Beat)
	defer beats.Stop()
	for {
		select {
		case u := <-come:
			return u.model, u.done, u.err
		case <-beats.C:
			if err := beat(); err != nil {
				cancel(err)
				if u := <-come; u.err == nil {
					u.done()
				}
				return nil, nil, err
			}
		}
	}
}

// Answer has a request answered by the model with a name, for which it waits as [Options.Use] does. The
// caller closes the answer.
func (o Options) Answer(ctx context.Context, models service.Models, name string, r service.Request, beat func() error) (*service.Answer, error) {
	m, done, err := o.Use(ctx, models, name, beat)
	if err != nil {
		return nil, err
	}
	defer done() // the answer goes on
	return m.Answer(ctx, r)
}
