package generate

import "context"

// Guesser guesses what follows a text. A step checks the guesses, so that it gives several tokens
// where they are right.
type Guesser interface {
	// Guess returns at most n tokens that may follow ids, and none from the first of ends on. The
	// model has computed all of ids but the last. The result is read before the next call.
	Guess(ctx context.Context, ids []int32, n int, ends []int32) ([]int32, error)
	// Checked says how many of the last guesses were checked, and how many of them were right.
	Checked(guessed, right int)
}

// promptLookup guesses by [lookup].
type promptLookup struct{ ngram int }

func (p promptLookup) Guess(_ context.Context, ids []int32, n int, ends []int32) ([]int32, error) {
	return lookup(ids, n, p.ngram, ends), nil
}

func (promptLookup) Checked(int, int) {}

// guesser returns who guesses, and how many tokens at a time.
func (c *Config) guesser() (Guesser, int) {
	if c.Guesser != nil {
		return c.Guesser, c.GuessTokens
	}
	return promptLookup{c.LookupNgram}, c.LookupTokens
}
