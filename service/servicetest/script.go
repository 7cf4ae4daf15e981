package servicetest

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// Script answers requests with texts that a test has written, by the service's own model, engine and
// batch: the texts take the place of its choices alone. It keeps the requests that it has got. It may be
// used from many goroutines.
type Script struct {
	service.Answerer
	// Answers returns what is answered to a request, token by token until it has ended: a text, in
	// which special tokens are spelt. The end token follows.
	Answers func(service.Request) string

	mu       sync.Mutex
	requests []service.Request
}

// Answer answers a request.
func (s *Script) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	ids, err := s.Tokenizer().Encode(s.Answers(r), tokenizer.Options{ParseSpecial: true})
	if err != nil {
		return nil, err
	}
	eos, _ := s.Tokenizer().EOS()
	prompt, err := s.Count(r)
	if err != nil {
		return nil, err
	}
	r.Config.Processors = append(slices.Clip(r.Config.Processors), forced{append(ids, eos), prompt})
	return s.Answerer.Answer(ctx, r)
}

// Requests returns the requests so far.
func (s *Script) Requests() []service.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// forced forces the tokens that follow a prompt.
type forced struct {
	ids    []int32
	prompt int
}

// Process leaves one token to choose from.
func (f forced) Process(ids []int32, scores []float32) error {
	next := f.ids[min(len(ids)-f.prompt, len(f.ids)-1)]
	for i := range scores {
		if int32(i) != next {
			scores[i] = negInf
		}
	}
	return nil
}

var negInf = float32(math.Inf(-1))
