package openai

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/seed4d217819/ebb/service"
)

// severalAtOnce is how many of the prompts of one request are answered at once. Others' requests are
// answered beside them.
const severalAtOnce = 4

// several are requests that came as one.
type several struct {
	model    service.Answerer
	requests []service.Request
	whole    bool // events come when an answer has ended

	mu      sync.Mutex
	waiting []int // those that nobody has taken, the next one last
	workers int
}

// saying is an event of one of several answers. Its event is begun where there is none.
type saying struct {
	number int // of the request
	answer *service.Answer
	begun  bool
	event  service.Event
	err    error
}

// events yields the events of the answers as they come; the first error ends all of them. Why ctx was
// cancelled is one.
func (s *several) events(ctx context.Context) iter.Seq[saying] {
	return func(yield func(saying) bool) {
		if len(s.requests) == 1 { // as nearly always: nothing goes through a second goroutine
			if _, err := s.answer(ctx, 0, yield); err != nil {
				yield(saying{err: err})
			}
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		for i := range s.requests {
			s.waiting = append(s.waiting, len(s.requests)-1-i)
		}
		s.workers = min(severalAtOnce, len(s.requests))
		news := make(chan saying)
		for range s.workers {
			all.Go(func() { s.work(ctx, news) })
		}
		go func() {
			all.Wait()
			close(news)
		}()
		for one := range news {
			if !yield(one) || one.err != nil {
				return
			}
		}
		if ctx.Err() != nil { // and no worker may have told of it
			yield(saying{err: context.Cause(ctx)})
		}
	}
}

// work answers requests that wait. It ends early if the queue is full and others work on: a request of
// many prompts waits for itself, and is not refused.
func (s *several) work(ctx context.Context, news chan<- saying) {
	tell := func(one saying) bool {
		select {
		case news <- one:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		number, ok := s.take()
		if !ok {
			return
		}
		going, err := s.answer(ctx, number, tell)
		if errors.Is(err, service.ErrBusy) && s.leave(number) {
			return
		}
		if err != nil {
			tell(saying{number: number, err: err})
		}
		if !going {
			return
		}
	}
}

// answer answers a request and tells of it. It returns false if nobody wants to hear more, or with an error
// of the request, of which it has told nothing.
func (s *several) answer(ctx context.Context, number int, tell func(saying) bool) (going bool, err error) {
	a, err := s.model.Answer(ctx, s.requests[number])
	if err != nil {
		return false, err
	}
	defer a.Close()
	if !tell(saying{number: number, answer: a, begun: true}) {
		return false, nil
	}
	if s.whole {
		a.Wait(ctx)
	}
	for e, err := range a.Events(ctx) {
		if !tell(saying{number: number, answer: a, event: e, err: err}) {
			return false, nil
		}
	}
	return true, nil
}

// take returns the next request; false: there is none, and one worker less.
func (s *several) take() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	if n == 0 {
		s.workers--
		return 0, false
	}
	number := s.waiting[n-1]
	s.waiting = s.waiting[:n-1]
	return number, true
}

// leave gives a request back and ends a worker, unless it is the last one.
func (s *several) leave(number int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.workers == 1 {
		return false
	}
	s.workers--
	s.waiting = append(s.waiting, number)
	return true
}
