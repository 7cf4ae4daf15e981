package service

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/tokenizer"
)

// Options say how a service works. The zero value is useful.
type Options struct {
	// Name is what clients call the model. "": "model".
	Name string
	// StepTime is that of [ebb.BatchOptions].
	StepTime time.Duration
	// Queue is how many requests may wait or be under way at once. 0: 64.
	Queue int
	// Beat is after how long without a part of a text an answer yields an event [Beat], so that
	// connections stay open. 0: 8 seconds.
	Beat time.Duration
	// PromptLookup is [ebb.GenerationConfig.PromptLookupNumTokens] of requests that say nothing of it and are
	// for one text: the same texts, in fewer steps where they repeat what was said. 0: 10 where layers
	// are streamed to a GPU, so that the link to it is the limit, and none elsewhere. Below 0: none.
	PromptLookup int
	// CacheDir is a folder where conversations are kept when memory is short and when the service ends, so
	// that they go on from there, also after the process was killed. "": there is none.
	CacheDir string
	// CacheBytes is what files may take there. 0: half of what is free.
	CacheBytes int64
	// HostBytes is how much host memory the rows of streamed layers may take while conversations are idle:
	// beyond it these are given up, to files if there are some. 0: half of what is free.
	HostBytes int64
	// Notify receives a line about what its operator should know of, such as a disk that is full. It may be
	// called from several goroutines. nil: nobody hears of it.
	Notify func(string)
	// Step hears of each step that was taken. It is called by the goroutine that computes, and returns at
	// once. nil: nobody hears of them.
	Step func(Step)
}

// Step is a step of all requests that are under way.
type Step struct {
	Took     time.Duration
	Requests int
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "model"
	}
	if o.Queue == 0 {
		o.Queue = 64
	}
	if o.Beat == 0 {
		o.Beat = 8 * time.Second
	}
	return o
}

// Service answers requests with an engine. It may be used from many goroutines.
type Service struct {
	engine     *ebb.Engine
	options    Options
	created    time.Time
	template   *chat.Template // nil: noTemplate says why there is none
	noTemplate error
	grammars   grammars
	batch      *ebb.Batch

	conversations *conversation.Store

	ctx     context.Context //nolint:containedctx // the service's life, which Close ends
	stop    context.CancelFunc
	stopped chan struct{} // closed when the goroutine that computes has ended
	ended   error         // what went wrong then

	draining atomic.Bool
	requests atomic.Int64 // that have a place
	counts   counts

	queue  queue
	places chan struct{} // of the queue: an answer has one until it ends
}

// New begins to answer requests with an engine, which is the caller's, who closes the service before
// the engine and begins no steps with it meanwhile.
func New(e *ebb.Engine, o Options) (*Service, error) {
	s := &Service{engine: e, options: o.withDefaults(), created: time.Now(), stopped: make(chan struct{}), queue: queue{news: make(chan struct{}, 1)}}
	s.places = make(chan struct{}, s.options.Queue)
	s.template, s.noTemplate = e.Template()
	var err error
	if s.grammars.pieces, err = e.Pieces(); err != nil {
		return nil, err
	}
	if s.conversations, err = conversation.New(e, conversation.Options{Dir: o.CacheDir, DirBytes: o.CacheBytes, HostBytes: o.HostBytes, Notify: o.Notify, Copied: s.queue.wake}); err != nil {
		return nil, err
	}
	s.batch = e.NewBatch(s.conversations.Batch(ebb.BatchOptions{StepTime: s.options.StepTime}))
	s.ctx, s.stop = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// Ready reports whether the service takes requests.
func (s *Service) Ready() bool { return !s.draining.Load() && s.ctx.Err() == nil }

// Drain takes no more requests, and waits until all answers have ended, or ctx has. Answers that have not
// ended then do so with [ErrClosed]. With files, all conversations are written there, also the unfinished
// ones, whether ctx has ended or not; without, they are lost. The service is closed when Drain returns.
func (s *Service) Drain(ctx context.Context) error {
	s.draining.Store(true)
	for range cap(s.places) {
		select {
		case s.places <- struct{}{}:
			continue
		case <-s.stopped:
		case <-ctx.Done():
		}
		break
	}
	s.stop()
	<-s.stopped
	return errors.Join(s.conversations.Flush(context.WithoutCancel(ctx)), s.Close())
}

// Close ends all answers with [ErrClosed], and waits until nothing is computed any more.
func (s *Service) Close() error {
	s.stop()
	<-s.stopped
	return errors.Join(s.ended, s.conversations.Close())
}

// Model is what clients are told of a model.
type Model struct {
	Name         string
	Created      time.Time // when its file was written; of a service alone, when that began
	Architecture string
	Context      int  // tokens that a sequence may hold
	Trained      int  // tokens that the model was made for
	Vocabulary   int  // tokens
	Chat         bool // whether there is a chat template
	Tools        bool // whether it takes tools
	Loaded       bool // whether it answers without being loaded first
	Soonest      bool // of several models, whether it is the one that answers soonest a request which any may answer
	Requests     int  // how many may wait or be under way at once

	// Of its file, too, as far as it is known; a service knows none of it.
	Bytes        int64  // of its weights; 0: not known
	Parameters   int64  // 0: not known
	Quantization string // the type that most of its weights have, such as Q4_K; "": not known

	Template string // of chats, as it is in the file; "": there is none
	BOS, EOS string // how the tokens are spelt that begin and end a text; "": there is none
}

// Model describes the model.
func (s *Service) Model() Model {
	c := s.engine.Config()
	m := Model{
		Name: s.options.Name, Created: s.created, Architecture: c.Architecture,
		Context: s.engine.Context(), Trained: c.Context, Vocabulary: c.Vocab,
		Chat: s.template != nil, Tools: s.template != nil && s.template.TakesTools(), Loaded: true,
		Requests: s.options.Queue,
	}
	if s.template != nil {
		m.Template = s.template.Source()
	}
	if id, ok := s.Tokenizer().BOS(); ok {
		m.BOS = s.Tokenizer().Spell(id)
	}
	if id, ok := s.Tokenizer().EOS(); ok {
		m.EOS = s.Tokenizer().Spell(id)
	}
	return m
}

// Tokenizer returns the model's tokenizer.
func (s *Service) Tokenizer() *tokenizer.Tokenizer { return s.engine.Tokenizer() }

// Count returns how many tokens the prompt of a request has.
func (s *Service) Count(r Request) (int, error) {
	if r.Chat == nil {
		return len(r.Prompt), nil
	}
	tokens, _, _, err := s.render(r.Chat)
	return len(tokens), err
}

// Answer begins to answer a request. What is wrong with the request is an error at once: a
// [RequestError], a [ContextError], or [ErrBusy]. When ctx is cancelled, the answer ends. The caller
// closes the answer.
func (s *Service) Answer(ctx context.Context, r Request) (*Answer, error) {
	p, err := s.prompt(r)
	if err != nil {
		return nil, err
	}
	if !s.Ready() {
		return nil, ErrClosed
	}
	select {
	case s.places <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	s.requests.Add(1)
	a := newAnswer(ctx, s, r, p)
	if !s.queue.put(a) {
		a.Close()
		s.leave()
		return nil, ErrClosed
	}
	return a, nil
}

// leave gives back the place of a request.
func (s *Service) leave() {
	s.requests.Add(-1)
	<-s.places
}

var errEnded = errors.New("service: the answer was closed")
