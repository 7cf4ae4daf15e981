package generate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Tokens continues a prompt and yields the tokens of one text as they come. seq holds the first
// tokens of the prompt, or none, and stays the caller's. If it holds all of them, logits are those
// of the token that follows; otherwise nil.
//
// The last token says why the text ended: [Token.Finish]. If an error ends the stream, the tokens
// before it stand. However the stream ends, also when the caller leaves the loop, the sequence then
// holds the prompt and all tokens that were yielded but the last one. An error in the prompt leaves
// it as it was.
func Tokens[S Sequence[S], W Work[S]](
	ctx context.Context, forward Forward[W], seq S, prompt []int32, logits []float32, c Config,
) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		s, err := newStream(forward, seq, prompt, logits, c)
		if err != nil {
			yield(Token{}, err)
			return
		}
		yielded := 0
		for s.text.finish == Unfinished {
			rows, err := s.compute(ctx)
			if err == nil {
				err = s.take(rows)
			}
			for _, token := range s.text.tokens[yielded:] {
				yielded++
				if !yield(token, nil) {
					_ = s.drop(yielded) // what it could fail for ends the next use of the sequence, too
					return
				}
			}
			if err = errors.Join(err, s.drop(yielded)); err != nil {
				yield(Token{}, err)
				return
			}
		}
	}
}

// stream is one text that grows, and the sequence that holds it.
type stream[S Sequence[S], W Work[S]] struct {
	forward Forward[W]
	seq     S
	text    single
	config  Config
	scorer  scorer
	prompt  int // tokens
	clock   clock

	logits []float32 // of the token after the prompt, where the caller has computed it
	works  [1]W
	rows   [][][]float32
}

func newStream[S Sequence[S], W Work[S]](
	forward Forward[W], seq S, prompt []int32, logits []float32, c Config,
) (*stream[S, W], error) {
	if c.Beams > 1 || c.Texts > 1 {
		return nil, errors.New("generate: a stream is of one text: want no Beams and one of Texts")
	}
	if err := checkLogits(prompt, seq.Len(), logits); err != nil {
		return nil, err
	}
	c, chain, err := c.prepare(prompt, seq.Len())
	if err != nil {
		return nil, err
	}
	s := &stream[S, W]{forward: forward, seq: seq, config: c, scorer: scorer{chain: chain}, prompt: len(prompt), logits: logits}
	s.clock.limit = c.MaxTime
	s.text = newSingle(prompt, c.Seed, &s.config, &s.scorer)
	s.text.next = slices.Clone(prompt[seq.Len():])
	return s, nil
}

// compute returns the logits of the tokens that may follow: of one after the prompt, and of one
// after each guess.
func (s *stream[S, W]) compute(ctx context.Context) ([][]float32, error) {
	s.clock.start()
	if given := s.logits; given != nil {
		s.logits = nil
		return [][]float32{given}, nil
	}
	logits, held := 1, s.seq.Len()
	if held >= s.prompt {
		if err := s.text.guess(ctx); err != nil {
			return nil, err
		}
		logits = len(s.text.next)
	}
	next := s.text.next
	s.works[0] = newWork[S, W](s.seq, next, logits, logits-1, 0, 0, 0)
	rows, err := s.forward(ctx, s.works[:], s.rows)
	if err != nil && ctx.Err() == nil && logits > 1 && s.seq.Len() == held { // perhaps only the guesses do not fit
		s.works[0] = newWork[S, W](s.seq, next[:1], 1, 0, 0, 0, 0)
		rows, err = s.forward(ctx, s.works[:], s.rows)
	}
	switch {
	case err == nil:
		s.rows = rows
		return rows[0], nil
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, stepError(len(s.text.tokens), err)
}

// take appends the tokens that follow to the text: one, and more if guesses were right.
func (s *stream[S, W]) take(rows [][]float32) error {
	if err := s.text.take(rows); err != nil {
		return err
	}
	if s.clock.over() {
		s.text.stop(TimeLimit)
	}
	return nil
}

// drop drops what the sequence holds beyond all but the last of n new tokens: guesses, and tokens
// that came together with the n-th.
func (s *stream[S, W]) drop(n int) error {
	if held := s.prompt + max(n-1, 0); s.seq.Len() > held {
		return s.seq.Truncate(held)
	}
	return nil
}

// stepError says for which token a step failed. tokens is how many new ones there were.
func stepError(tokens int, err error) error {
	if tokens == 0 {
		return fmt.Errorf("generate: prompt: %w", err)
	}
	return fmt.Errorf("generate: token %d: %w", tokens+1, err)
}

// clock measures how long a search takes.
type clock struct {
	limit time.Duration // 0: none
	begun time.Time
}

// start starts the clock, the first time that it is called.
func (c *clock) start() {
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
}

// over reports whether the time is over.
func (c *clock) over() bool { return c.limit > 0 && time.Since(c.begun) >= c.limit }
