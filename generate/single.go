package generate

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/sample"
)

// single is a text that grows by itself: by its most probable token, or by one that is drawn.
type single struct {
	config *Config
	scorer *scorer
	ids    []int32 // those of the prompt and of tokens
	tokens []Token
	score  float64
	finish Finish

	cutter  *Cutter         // nil without stop strings
	sampler *sample.Sampler // nil where nothing is drawn

	next []int32 // the tokens to compute next: the last one, and guesses of what follows it
}

func newSingle(prompt []int32, seed uint64, c *Config, s *scorer) single {
	t := single{config: c, scorer: s, ids: slices.Clone(prompt)}
	if c.Sample {
		t.sampler = sample.NewSampler(seed)
	}
	if len(c.Stop) > 0 {
		t.cutter = NewCutter(c.Stop)
	}
	return t
}

// take appends the tokens that follow from rows of logits. The first row follows the last token;
// each other row follows a guess, and counts if the guess was right.
func (t *single) take(rows [][]float32) error {
	guessed, right := len(rows)-1, 0
	if by, _ := t.config.guesser(); guessed > 0 {
		defer func() { by.Checked(guessed, right) }()
	}
	for i, row := range rows {
		token, err := t.choose(row)
		if err != nil {
			return fmt.Errorf("generate: token %d: %w", len(t.tokens)+1, err)
		}
		t.tokens, t.ids = append(t.tokens, token), append(t.ids, token.ID)
		t.score += token.LogProb
		guess := i+1 < len(rows) && t.next[i+1] == token.ID
		if guess {
			right++
		}
		if f := t.ends(token.ID); f != Unfinished {
			t.stop(f)
			return nil
		}
		if !guess {
			break
		}
	}
	t.next = append(t.next[:0], t.ids[len(t.ids)-1])
	return nil
}

// choose returns the token that follows.
func (t *single) choose(row []float32) (token Token, err error) {
	var scores []float32
	if t.sampler != nil {
		token.ID, scores, err = t.scorer.draw(t.sampler, t.ids, row)
	} else {
		token.ID, scores, err = t.scorer.best(t.ids, row)
	}
	if err != nil {
		return token, err
	}
	if t.config.RawLogProbs {
		scores = row // which processing has left as it was
	}
	if t.config.LogProbs {
		sum, err := sample.LogSumExp(scores)
		if err != nil {
			return token, err
		}
		token.LogProb = float64(scores[token.ID]) - sum
	}
	token.Top, err = candidates(scores, t.config.Top)
	return token, err
}

// ends returns why the text ends with its last token, or Unfinished.
func (t *single) ends(last int32) Finish {
	switch {
	case slices.Contains(t.config.EOS, last):
		return EndToken
	case t.cutter != nil && t.cutter.ends(t.config.Piece(last)):
		return StopString
	case t.scorer.chain.Ended(t.ids):
		return GrammarEnd
	case len(t.tokens) == t.config.MaxNewTokens:
		return LengthLimit
	}
	return Unfinished
}

// guess appends what may follow the last token to the tokens to compute next.
func (t *single) guess(ctx context.Context) error {
	by, n := t.config.guesser()
	if most := t.config.MaxNewTokens; most > 0 {
		n = min(n, most-len(t.tokens)-1)
	}
	if n <= 0 {
		return nil
	}
	guesses, err := by.Guess(ctx, t.ids, n, t.config.EOS)
	if err != nil {
		return fmt.Errorf("generate: guessing what follows token %d: %w", len(t.tokens), err)
	}
	t.next = append(t.next[:1], guesses...)
	return nil
}

// stop ends the text, if it has not ended.
func (t *single) stop(f Finish) {
	if t.finish != Unfinished {
		return
	}
	t.finish, t.next = f, t.next[:0]
	if n := len(t.tokens); n > 0 {
		t.tokens[n-1].Finish = f
	}
}
