package generate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Config says when to stop. Its zero value goes on until the sequence refuses to grow.
type Config struct {
	MaxNewTokens int     // 0: no limit
	MinNewTokens int     // as long as there are fewer new tokens, those of EOS are not chosen
	EOS          []int32 // each of these ends the text, and is its last token
	LogProbs     bool    // compute Token.LogProb: for a vocabulary of 50,000 that is half a millisecond a token
}

// Greedy appends prompt to seq and yields the most probable token, again and again: the one with the largest logit, the
// lowest id among equals. It stops after one of Config.EOS or after MaxNewTokens.
//
// An error ends the stream; the tokens before it stand. A token is appended to seq when the one after it is asked for,
// so seq then holds the prompt and all tokens yielded but the last; leaving the loop, cancelling ctx and errors leave
// it like that too.
func Greedy(ctx context.Context, seq Sequence, prompt []int32, c Config) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		if len(prompt) == 0 {
			yield(Token{}, errors.New("generate: the prompt is empty: want at least one token"))
			return
		}
		logits, err := seq.Forward(ctx, prompt)
		if err != nil {
			yield(Token{}, fmt.Errorf("generate: prompt: %w", err))
			return
		}
		GreedyFrom(ctx, seq, logits, c)(yield)
	}
}

// GreedyFrom is [Greedy] for a seq that holds the prompt already: logits are those of the token that follows it.
func GreedyFrom(ctx context.Context, seq Sequence, logits []float32, c Config) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		row := logits
		for step := 1; ; step++ {
			if step <= c.MinNewTokens {
				row = without(row, c.EOS)
			}
			id, err := best(row)
			if err != nil {
				yield(Token{}, fmt.Errorf("generate: token %d: %w", step, err))
				return
			}
			token := Token{ID: int32(id)}
			if c.LogProbs {
				token.LogProb = logProb(row, id)
			}
			if !yield(token, nil) || slices.Contains(c.EOS, token.ID) || step == c.MaxNewTokens {
				return
			}
			if row, err = seq.Forward(ctx, []int32{token.ID}); err != nil {
				yield(Token{}, fmt.Errorf("generate: token %d: %w", step+1, err))
				return
			}
		}
	}
}

// without returns a copy of logits in which the ids, those of them that are in the vocabulary, are impossible.
func without(logits []float32, ids []int32) []float32 {
	logits = slices.Clone(logits)
	for _, id := range ids {
		if id >= 0 && int(id) < len(logits) {
			logits[id] = float32(math.Inf(-1))
		}
	}
	return logits
}
