package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/service"
)

// Bounds of connections, against clients that hold them without a use. The body of a request has a
// bound of its own, and so has each write of an answer.
const (
	headTime  = 10 * time.Second // for the head of a request to arrive
	idleTime  = 2 * time.Minute  // between requests
	headBytes = 64 << 10
	// partingTime is how long answers that are cut have to say so to their clients.
	partingTime = 2 * time.Second
)

// errDraining ends the answers that have not ended in time.
var errDraining = fmt.Errorf("%w: the server is about to end", service.ErrClosed)

// Serve answers requests on listeners until ctx is done, or one of them fails. It then drains: it refuses
// new requests, lets answers go on for as long as Options.Drain says, and ends those that are left. It
// closes the listeners. It is called once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	requests, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: headBytes,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong below HTTP
	}
	var serving sync.WaitGroup
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		serving.Go(func() { failed <- h.Serve(l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.drain(cut)
	parting, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	if h.Shutdown(parting) != nil {
		_ = h.Close() // a connection that cannot be closed is closed when the process ends
	}
	serving.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// drain refuses new requests, and waits for those that are answered.
func (s *Server) drain(cut context.CancelCauseFunc) {
	none := s.state.drain()
	s.log.Info("the server is about to end", "answers", s.state.count(), "drain", s.options.Drain)
	select {
	case <-none:
		return
	case <-time.After(s.options.Drain):
	}
	s.log.Warn("answers that have not ended in time are cut", "answers", s.state.count())
	cut(errDraining)
	select {
	case <-none:
	case <-time.After(partingTime):
	}
}

// state says whether requests are answered, and how many are.
type state struct {
	mu       sync.Mutex
	ready    bool
	draining bool
	running  int
	none     chan struct{} // closed when it is draining and none is running
}

// enter begins a request, unless none is answered now.
func (s *state) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready || s.draining {
		return false
	}
	s.running++
	return true
}

// leave ends a request.
func (s *state) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.draining && s.running == 0 {
		close(s.none)
	}
}

// drain ends the beginning of requests, and returns what is closed when all have ended.
func (s *state) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining, s.none = true, make(chan struct{})
	if s.running == 0 {
		close(s.none)
	}
	return s.none
}

func (s *state) setReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// refusal says why no request is answered now; "": they are.
func (s *state) refusal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "The server is about to end"
	case !s.ready:
		return "Loading model" // llama-server's words
	}
	return ""
}

func (s *state) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}
