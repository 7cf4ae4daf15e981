package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// record is what is logged of a request.
type record struct {
	http.ResponseWriter
	id     string
	route  string // its pattern; "": there is none
	begun  time.Time
	status int // 0: nothing is written yet

	mu      sync.Mutex
	model   string
	answers []*service.Answer
}

type recordKey struct{}

// WriteHeader notes the status.
func (r *record) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write notes that there is a status.
func (r *record) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (r *record) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// newRecord begins the record of a request.
func newRecord(w http.ResponseWriter, r *http.Request) *record {
	id := r.Header.Get("X-Request-Id")
	if !plain(id) {
		id = "req_" + rand.Text()
	}
	w.Header().Set("X-Request-Id", id) // openai's libraries read this one
	w.Header().Set("Request-Id", id)   // and anthropic's this one
	return &record{ResponseWriter: w, id: id, begun: time.Now()}
}

// plain reports whether an id may be repeated in header fields and logs.
func plain(id string) bool {
	if id == "" || len(id) > 100 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// usage returns what the answers of a request have taken together: the first token is that of the
// answer whose client has waited longest.
func (r *record) usage() (u service.Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.answers {
		of := a.Usage()
		u.Prompt, u.Cached, u.New = u.Prompt+of.Prompt, u.Cached+of.Cached, u.New+of.New
		u.FirstToken, u.LastToken = max(u.FirstToken, of.FirstToken), max(u.LastToken, of.LastToken)
	}
	return u
}

// recorded has what a request makes of models in its record.
type recorded struct{ service.Models }

// Use implements [service.Models].
func (m recorded) Use(ctx context.Context, name string) (service.Answerer, func(), error) {
	a, done, err := m.Models.Use(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return recordedAnswerer{a}, done, nil
}

type recordedAnswerer struct{ service.Answerer }

// Answer implements [service.Answerer].
func (a recordedAnswerer) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	answer, err := a.Answerer.Answer(ctx, r)
	if rec, ok := ctx.Value(recordKey{}).(*record); ok && err == nil {
		rec.mu.Lock()
		rec.model = a.Model().Name
		rec.answers = append(rec.answers, answer)
		rec.mu.Unlock()
	}
	return answer, err
}

// recording calls next with a record of the request, which is logged and counted when it has ended. A
// panic is an error of the request alone.
func (s *Server) recording(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := newRecord(w, r)
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		_, rec.route = s.routes.Handler(r)
		defer func() {
			fault := recover()
			if fault != nil && !isAbort(fault) {
				s.log.Error("panic", "id", rec.id, "path", r.URL.Path, "panic", fault, "stack", string(debug.Stack()))
				if rec.status == 0 {
					fail(rec, r, http.StatusInternalServerError, "the server has a fault: its log says more of request "+rec.id)
					fault = nil
				} else {
					fault = http.ErrAbortHandler // what was written looks whole to no client
				}
			}
			s.end(rec, r)
			if fault != nil {
				panic(fault)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func isAbort(fault any) bool {
	err, ok := fault.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// end logs and counts a request. It never sees a text.
func (s *Server) end(rec *record, r *http.Request) {
	status := rec.status
	switch {
	case status == 0 && r.Context().Err() != nil:
		status = wire.StatusClosed
	case status == 0:
		status = http.StatusOK
	}
	took, usage := time.Since(rec.begun), rec.usage()
	level := slog.LevelInfo
	if quiet[r.URL.Path] {
		level = slog.LevelDebug
	}
	fields := []any{"id", rec.id, "method", r.Method, "path", r.URL.Path, "status", status, "took", took.Round(time.Microsecond)}
	if len(rec.answers) > 0 {
		fields = append(fields, "model", rec.model, "prompt", usage.Prompt, "cached", usage.Cached, "new", usage.New, "first", usage.FirstToken.Round(time.Microsecond))
		if r.Context().Err() != nil {
			fields = append(fields, "cancelled", true)
		}
	}
	s.log.Log(context.WithoutCancel(r.Context()), level, "request", fields...)
	s.options.Metrics.Request(rec.route, status)
	if len(rec.answers) > 0 {
		s.options.Metrics.Answers(usage, took)
	}
}

// quiet has what programs, and the page, ask every few seconds.
var quiet = map[string]bool{"/health": true, "/v1/health": true, "/metrics": true, "/v1/cache/conversations": true}
