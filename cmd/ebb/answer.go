package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// answer is what was generated after a prompt, and how long it took.
type answer struct {
	ids   []int32
	text  string
	score float64 // sum of the tokens' log probabilities, if they were computed

	logits [][]float32 // of the prompt's last tokens, if they were wanted

	cut bool // it is as long as it may be, and might go on

	prefilled   int           // tokens of the prompt that were computed
	firstToken  time.Duration // from the beginning to the first new token
	decode      time.Duration // from the first new token to the last
	beforeStall time.Duration // stalled before the beginning
}

// question is what an answer is generated from.
type question struct {
	seq    *kv.Seq
	tokens []int32 // those that seq does not hold yet
	config ebb.GenerationConfig
	logits int // of how many of the last tokens logits are wanted
}

// generateAnswer answers a question. Text goes to w as it comes. With an error, what was generated before it is returned
// too.
func generateAnswer(ctx context.Context, engine *ebb.Engine, q question, w io.Writer) (*answer, error) {
	if err := checkPrompt(engine, q); err != nil {
		return nil, err
	}
	a := &answer{prefilled: len(q.tokens), beforeStall: engine.Stats().Cache.Stall}
	decoder := engine.Tokenizer().NewDecoder(true)
	var text strings.Builder
	out := io.MultiWriter(&text, w)
	start := time.Now()
	err := func() error {
		for token, err := range a.stream(ctx, engine, q) {
			if err != nil {
				return err
			}
			if a.ids = append(a.ids, token.ID); len(a.ids) == 1 {
				a.firstToken = time.Since(start)
			}
			a.decode = time.Since(start) - a.firstToken
			a.score += token.LogProb
			if _, err := io.WriteString(out, decoder.Next(token.ID)); err != nil {
				return err
			}
		}
		return nil
	}()
	if _, flushErr := io.WriteString(out, decoder.Flush()); err == nil {
		err = flushErr
	}
	a.text = text.String()
	n := len(a.ids)
	a.cut = err == nil && n > 0 && n == q.config.MaxNewTokens && !engine.Tokenizer().IsEOG(a.ids[n-1])
	return a, err
}

// stream generates the tokens. Logits that are wanted come from the only pass that the prompt makes.
func (a *answer) stream(ctx context.Context, engine *ebb.Engine, q question) iter.Seq2[generate.Token, error] {
	if q.logits == 0 {
		return engine.GenerateTokens(ctx, q.seq, q.tokens, q.config)
	}
	return func(yield func(generate.Token, error) bool) {
		rows, err := engine.Forward(ctx, []kv.Work{{Seq: q.seq, Tokens: q.tokens, Logits: min(q.logits, len(q.tokens))}})
		if err != nil {
			yield(generate.Token{}, err)
			return
		}
		a.logits = rows[0]
		engine.ContinueTokens(ctx, q.seq, a.logits[len(a.logits)-1], q.config)(yield)
	}
}

// checkPrompt reports, before anything is computed, a prompt that the engine cannot take.
func checkPrompt(engine *ebb.Engine, q question) error {
	vocab := engine.Config().Vocab
	for _, id := range q.tokens {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token id %d is outside the vocabulary: it has %d tokens, 0 to %d", id, vocab, vocab-1)
		}
	}
	if len(q.tokens) == 0 {
		return fmt.Errorf("the prompt is empty")
	}
	if n := q.seq.Len() + len(q.tokens); n > engine.Context() {
		return fmt.Errorf("%w: %d tokens, and the context holds %d", ebb.ErrPromptTooLong, n, engine.Context())
	}
	return nil
}
