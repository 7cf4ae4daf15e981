package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server"
	"github.com/seed4d217819/ebb/service"
)

// served is an engine that is served in this process, on a port of this machine, as `ebb serve` does it.
type served struct {
	*service.Service
	engine  *ebb.Engine
	request service.Request // the question
	steps   stepTimes
	address string
	stop    func() error
}

var _ server.Loaded = (*served)(nil)

// Engine implements [server.Loaded].
func (l *served) Engine() ebb.Stats { return l.engine.Stats() }

// openServed begins to serve an engine. The caller stops that before it closes the engine.
func openServed(ctx context.Context, e *ebb.Engine) (_ *served, err error) {
	l := &served{engine: e}
	l.request.Chat = &service.Chat{Messages: []chat.Message{{Role: "user", Content: httpQuestion}}}
	if l.Service, err = service.New(e, service.Options{Step: l.steps.add}); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	models := server.NewModels(0, log, server.Source{Name: l.Model().Name, Open: func() (server.Loaded, error) { return l, nil }})
	defer func() {
		if err != nil {
			err = errors.Join(err, models.Close())
		}
	}()
	if err := models.Load(ctx); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s, err := server.New(server.Options{Models: models, Private: true, Log: log})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s.Ready()
	listener, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	l.address = listener.Addr().String()
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving, listener) }()
	l.stop = func() error {
		end()
		return errors.Join(<-ended, models.Close())
	}
	return l, nil
}

// post asks for an answer of n tokens and returns the response as it comes over the wire. A client of
// net/http would wake two goroutines for each event. It reads once late is closed; nil: at once.
func (l *served) post(ctx context.Context, n int, stream bool, late <-chan struct{}) (response string, err error) {
	body, err := json.Marshal(map[string]any{
		"messages": l.request.Chat.Messages, "max_tokens": n, "temperature": 0, "ignore_eos": true, "stream": stream,
	})
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // which ends a read
	defer func() {
		if stop() {
			err = errors.Join(err, c.Close())
		}
	}()
	if _, err := fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", l.address, len(body), body); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	if late != nil {
		select {
		case <-late:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	var all strings.Builder
	if _, err := io.Copy(&all, c); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return all.String(), nil
}

// stepTimes has the steps of a service that one answer takes.
type stepTimes struct {
	mu     sync.Mutex
	ends   []time.Time
	took   []time.Duration
	wanted int
	ended  chan struct{} // closed when there are as many as wanted
}

// begin forgets the steps so far, and wants n.
func (t *stepTimes) begin(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends, t.took, t.wanted, t.ended = make([]time.Time, 0, n+8), make([]time.Duration, 0, n+8), n, make(chan struct{})
}

// add is for [service.Options].
func (t *stepTimes) add(s service.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends, t.took = append(t.ends, time.Now()), append(t.took, s.Took)
	if len(t.ends) == t.wanted {
		close(t.ended)
	}
}

// last returns the seconds from the end of each of the last n steps to that of the next one.
func (t *stepTimes) last(n int) []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return intervals(t.ends[max(0, len(t.ends)-n):])
}

// spent returns how long the steps but the first have taken, and how long it was from the end of the first
// to that of the last.
func (t *stepTimes) spent() (steps, all time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ends) == 0 {
		return 0, 0
	}
	for _, took := range t.took[1:] {
		steps += took
	}
	return steps, t.ends[len(t.ends)-1].Sub(t.ends[0])
}
