package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// answer is what was generated after a prompt, and what that took.
type answer struct {
	measured
	sequences []ebb.Completion // the best one first
	logits    [][]float32      // of the prompt's last tokens, if they were wanted
}

// question is what an answer is generated from.
type question struct {
	seq    *kv.Seq
	tokens []int32 // those that seq does not hold yet
	config ebb.GenerationConfig
	logits int  // of how many of the last tokens logits are wanted
	goesOn bool // seq is to hold the prompt afterwards
}

// best returns the answer's best text, or an empty one.
func (a *answer) best() ebb.Completion {
	if len(a.sequences) == 0 {
		return ebb.Completion{}
	}
	return a.sequences[0]
}

// generateAnswer answers a question. Text goes to w as it comes; if there are several, or beams, the best one does at the
// end. With an error, what was generated before it is returned too.
func generateAnswer(ctx context.Context, engine *ebb.Engine, q question, w io.Writer) (*answer, error) {
	if err := checkPrompt(engine, q); err != nil {
		return nil, err
	}
	a := &answer{measured: begin(engine)}
	a.prefilled = len(q.tokens)
	var err error
	if q.config.NumBeams > 1 || q.config.NumReturnSequences > 1 {
		err = a.search(ctx, engine, q)
		if _, writeErr := io.WriteString(w, a.best().Text); err == nil {
			err = writeErr
		}
	} else {
		err = a.stream(ctx, engine, q, w)
	}
	a.count(a.sequences)
	a.passes = engine.Stats().Cache.Steps - a.beforePasses
	return a, err
}

// stream generates one text.
func (a *answer) stream(ctx context.Context, engine *ebb.Engine, q question, w io.Writer) error {
	var s ebb.Completion
	err := func() error {
		for piece, err := range engine.Decode(a.tokens(ctx, engine, q), q.config.StopStrings) {
			s.Text += piece.Text
			_, writeErr := io.WriteString(w, piece.Text)
			if err != nil {
				return err
			}
			s.IDs, s.Tokens = append(s.IDs, piece.ID), append(s.Tokens, piece.Token)
			s.Score += piece.LogProb
			s.Finish = piece.Finish
			a.token()
			if writeErr != nil {
				return writeErr
			}
		}
		return nil
	}()
	a.sequences = []ebb.Completion{s}
	return err
}

// tokens generates the tokens of one text. Logits that are wanted come from the only pass that the prompt makes.
func (a *answer) tokens(ctx context.Context, engine *ebb.Engine, q question) iter.Seq2[generate.Token, error] {
	if q.logits == 0 {
		return engine.GenerateTokens(ctx, q.seq, q.tokens, q.config)
	}
	return func(yield func(generate.Token, error) bool) {
		logits, err := a.forward(ctx, engine, q)
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		engine.ContinueTokens(ctx, q.seq, logits, q.config)(yield)
	}
}

// forward takes the prompt through the model, keeps the logits that are wanted, and returns the last ones.
func (a *answer) forward(ctx context.Context, engine *ebb.Engine, q question) ([]float32, error) {
	rows, err := engine.Forward(ctx, []kv.Work{{Seq: q.seq, Tokens: q.tokens, Logits: min(max(q.logits, 1), len(q.tokens))}})
	if err != nil {
		return nil, err
	}
	if q.logits > 0 {
		a.logits = rows[0]
	}
	return rows[0][len(rows[0])-1], nil
}

// search generates several texts, or one with beams.
func (a *answer) search(ctx context.Context, engine *ebb.Engine, q question) (err error) {
	b := engine.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	request := ebb.Request{Prompt: q.tokens, Config: q.config}
	if q.logits > 0 || q.goesOn {
		logits, err := a.forward(ctx, engine, q)
		if err != nil {
			return err
		}
		request = ebb.Request{Seq: q.seq, Logits: logits, Config: q.config}
	}
	g, err := b.Add(request)
	if err != nil {
		return err
	}
	if request.Seq != nil {
		a.token()
	}
	for !g.Done() && err == nil {
		_, err = b.Step(ctx)
		a.token()
	}
	a.sequences = g.Completions()
	return errors.Join(err, g.Err())
}

// checkPrompt reports, before anything is computed, a prompt that the engine cannot take.
func checkPrompt(engine *ebb.Engine, q question) error {
	if err := checkTokens(engine, q.tokens); err != nil {
		return err
	}
	if n := q.seq.Len() + len(q.tokens); n > engine.Context() {
		return fmt.Errorf("%w: %d tokens, and the context holds %d", ebb.ErrPromptTooLong, n, engine.Context())
	}
	return nil
}

func checkTokens(engine *ebb.Engine, tokens []int32) error {
	vocab := engine.Config().Vocab
	for _, id := range tokens {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token id %d is outside the vocabulary: it has %d tokens, 0 to %d", id, vocab, vocab-1)
		}
	}
	if len(tokens) == 0 {
		return errors.New("the prompt is empty")
	}
	return nil
}

// measured is what generating took.
type measured struct {
	prefilled int // tokens of prompts that were computed
	texts     int
	tokens    int  // of all texts
	passes    int  // through the model
	cut       bool // texts are as long as they may be, and might go on

	start        time.Time
	firstToken   time.Duration // from the beginning to the first new token
	decode       time.Duration // from the first new token to the last
	beforeStall  time.Duration // stalled before the beginning
	beforePasses int
}

// begin starts the clock.
func begin(engine *ebb.Engine) measured {
	s := engine.Stats().Cache
	return measured{start: time.Now(), beforeStall: s.Stall, beforePasses: s.Steps}
}

// token notes the time of a new token.
func (m *measured) token() {
	if m.firstToken == 0 {
		m.firstToken = time.Since(m.start)
	}
	m.decode = time.Since(m.start) - m.firstToken
}

// count counts texts.
func (m *measured) count(sequences []ebb.Completion) {
	for _, s := range sequences {
		m.texts++
		m.tokens += len(s.IDs)
		m.cut = m.cut || s.Finish == generate.LengthLimit
	}
}

// prefillSpeed returns the tokens of the prompt computed in a second.
func (m *measured) prefillSpeed() float64 { return speed(m.prefilled, m.firstToken) }

// decodeSpeed returns the new tokens after the first of each text in a second.
func (m *measured) decodeSpeed() float64 { return speed(m.tokens-m.texts, m.decode) }
