package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/tokenizer"
)

// Answer is what comes of a request. One goroutine reads it, by [Answer.Events] or [Answer.Texts];
// [Answer.Usage] may be asked by any.
type Answer struct {
	service *Service
	request Request
	prompt  prompt
	ctx     context.Context //nolint:containedctx // the request's, which the batch is given
	cancel  context.CancelCauseFunc
	release func() // of the tokenizer, by which the answer is read

	// Of the goroutine that computes:
	found        conversation.Found
	conversation *conversation.Conversation
	generation   *ebb.Generation
	results      []generate.Text // what the last step has found

	mu       sync.Mutex
	prompted []generate.Token // the prompt's, if their log-probabilities are asked for
	texts    []text
	progress Progress
	usage    Usage         // what is known since it has begun
	first    time.Duration // from the beginning to the first new token; 0: there is none
	last     time.Duration // and to the last one so far
	ended    bool
	err      error

	begun time.Time
	news  chan struct{} // has an element when the reader has not seen all
	done  chan struct{} // closed when the answer has ended
}

// text is one of the texts of an answer so far.
type text struct {
	tokens []generate.Token
	finish generate.Finish
}

// Progress says how far the prompt is computed.
type Progress struct {
	Total  int // tokens of the prompt
	Cached int // of these, those that were kept from before
	Done   int // of these, those that are computed, the cached ones among them
	Took   time.Duration
}

// Usage says what an answer has taken.
type Usage struct {
	Prompt int // tokens
	Cached int // of these, those that were not computed because they were kept
	// CachedBy says where the cached ones were: each token is in one of the three.
	CachedBy  Tiers
	New       int // tokens generated, in all texts
	Reasoning int // of these, those of the model's reasoning, as far as the answer was read
	// FirstToken is how long the client has waited for the first new token; 0: there is none yet.
	FirstToken time.Duration
	// LastToken is the same of the last new token so far: between both the texts have grown.
	LastToken time.Duration
	// Conversation is the ID of the conversation that has the prompt and the answer; "": there is none yet.
	Conversation string
	// Diverged says where the prompt has left a conversation that was there before.
	Diverged conversation.Left
}

// Tiers counts tokens by where their K/V are.
type Tiers struct {
	Device int // where all layers compute
	Host   int // in host memory, from where streamed layers visit their device
	Disk   int // in files
}

func newAnswer(ctx context.Context, s *Service, r Request, p prompt) *Answer {
	a := &Answer{service: s, request: r, prompt: p, begun: time.Now(), news: make(chan struct{}, 1), done: make(chan struct{})}
	a.progress.Total = len(p.tokens)
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.release = s.engine.Tokenizer().Hold()
	return a
}

// Close ends the answer, if it has not ended, and does not wait until nothing is computed for it any
// more. Nothing of it is read afterwards. It may be called twice.
func (a *Answer) Close() {
	a.cancel(errEnded)
	a.release()
}

// Tokenizer returns that of the model. It can be used until Close.
func (a *Answer) Tokenizer() *tokenizer.Tokenizer { return a.service.Tokenizer() }

// AfterEnd has f called, by a goroutine of its own, when the answer has ended or is about to, because it
// was cancelled. What there is of it can be read all the same until its Close, also when the service and
// its engine are closed.
func (a *Answer) AfterEnd(f func()) { context.AfterFunc(a.ctx, f) }

// Wait waits until the answer has ended, or ctx has. Whoever wants the whole of an answer waits before
// reading it: a reader that wakes at each token takes a core from the step that is being computed.
func (a *Answer) Wait(ctx context.Context) {
	select {
	case <-a.done:
	case <-ctx.Done():
	}
}

// Usage returns what the answer has taken so far.
func (a *Answer) Usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.usage
	u.Prompt, u.Cached, u.FirstToken, u.LastToken = a.progress.Total, a.progress.Cached, a.first, a.last
	for _, t := range a.texts {
		u.New += len(t.tokens)
	}
	return u
}

// PromptTokens returns the tokens of the prompt and how probable they are, given those before them, once
// there are new tokens; see [ebb.Generation.PromptTokens]. It is empty if the request does not ask.
func (a *Answer) PromptTokens() []generate.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.prompted
}

// asks returns the prompt as conversations are looked for.
func (a *Answer) asks() conversation.Prompt {
	return conversation.Prompt{
		Tokens: a.prompt.tokens, Salt: a.request.Salt, Name: a.request.Conversation, Turn: a.prompt.turn, NoCopy: a.found.NoCopy(),
		More: min(a.prompt.config.MaxNewTokens, a.service.engine.Context()/8),
	}
}

// beginWith notes what was there of the prompt.
func (a *Answer) beginWith(conversation string, found conversation.Found, by Tiers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progress.Cached, a.progress.Done = found.Cached, found.Cached
	a.usage.Conversation, a.usage.Diverged, a.usage.CachedBy = conversation, found.Left, by
}

// reasoned counts tokens of the model's reasoning.
func (a *Answer) reasoned(tokens int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usage.Reasoning += tokens
}

// take takes what a step has found, and reports whether the prompt has ended with it. The goroutine that
// computes calls it.
func (a *Answer) take() (begins bool) {
	a.results = a.generation.AppendResults(a.results[:0])
	results := a.results
	left := a.generation.PromptLeft()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.progress.Done < a.progress.Total {
		begins = left == 0
		a.progress.Done, a.progress.Took = a.progress.Total-left, time.Since(a.begun)
	}
	if left == 0 && a.prompted == nil {
		a.prompted = a.generation.PromptTokens()
	}
	if a.beams() && !a.generation.Done() {
		results = nil // they may still change
	}
	for i, r := range results {
		if i == len(a.texts) {
			a.texts = append(a.texts, text{})
		}
		t := &a.texts[i]
		if len(r.Tokens) > len(t.tokens) {
			a.last = time.Since(a.begun)
		}
		t.tokens, t.finish = append(t.tokens, r.Tokens[len(t.tokens):]...), r.Finish
	}
	if a.first == 0 {
		a.first = a.last
	}
	a.tell()
	return begins
}

// hasBegun reports whether there are new tokens.
func (a *Answer) hasBegun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first > 0
}

// beams reports whether the texts are those of a beam search, which change until its end.
func (a *Answer) beams() bool { return a.prompt.config.NumBeams > 1 }

// end ends the answer. The goroutine that computes calls it, once.
func (a *Answer) end(err error) {
	a.cancel(errEnded)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.err = true, err
	a.tell()
	close(a.done)
}

// tell says that there are news, if the reader does not know already.
func (a *Answer) tell() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// soFar is what there is of an answer.
type soFar struct {
	tokens   [][]generate.Token // of each text, from its beginning
	finishes []generate.Finish
	progress Progress
	ended    bool
	err      error
}

// read reads what there is of the answer. The tokens stay as they are.
func (a *Answer) read(s *soFar) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.tokens, s.finishes = s.tokens[:0], s.finishes[:0]
	for _, t := range a.texts {
		s.tokens = append(s.tokens, slices.Clip(t.tokens))
		s.finishes = append(s.finishes, t.finish)
	}
	s.progress, s.ended, s.err = a.progress, a.ended, a.err
}
