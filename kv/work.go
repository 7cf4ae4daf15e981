package kv

import (
	"errors"
	"fmt"
	"slices"
)

// Work is the new tokens of one sequence in a step: one token to decode, a few as a draft, many to
// prefill. They begin with those of [Seq.Pending], or are the first of them.
type Work struct {
	Seq    *Seq
	Tokens []int32
	Logits int // how many of the last tokens to compute logits of
	Drafts int // how many of the last tokens are guesses, which the sequence may be truncated to before

	// Of a prompt that is computed in passes, one a step: how many of its tokens the passes before have
	// computed, and how many follow. Memory is planned for those that follow.
	Before, More int
	// Again is how many of the tokens of [Seq.Pending] a pass takes, if not all: then it has no Tokens of its
	// own. 0: all of them. It is read by who puts them before Tokens, and not by the cache.
	Again int
}

// again returns how many of the tokens are computed again: all of [Seq.Pending], or as many as the step
// takes of them.
func (w *Work) again() int { return min(len(w.Seq.pending), len(w.Tokens)) }

// check reports a batch that no step can take.
func (p *Pool) check(batch []Work) error {
	if len(batch) == 0 {
		return errors.New("kv: an empty batch: want at least one sequence with tokens")
	}
	for i, w := range batch {
		switch {
		case w.Seq == nil || w.Seq.pool != p:
			return fmt.Errorf("kv: work %d: its sequence is not of this pool", i)
		case w.Seq.closed:
			return fmt.Errorf("kv: work %d: %w: the sequence", i, ErrClosed)
		case w.Seq.readers > 0:
			return fmt.Errorf("kv: work %d: %w", i, ErrReading)
		case len(w.Tokens) == 0:
			return fmt.Errorf("kv: work %d: no tokens", i)
		case w.Drafts < 0 || w.Drafts >= len(w.Tokens):
			return fmt.Errorf("kv: work %d: %d guesses among %d tokens: want at least one token before them", i, w.Drafts, len(w.Tokens))
		case !slices.Equal(w.Seq.pending[:w.again()], w.Tokens[:w.again()]):
			return fmt.Errorf("kv: work %d: the sequence has %d tokens to be computed again: begin with them", i, len(w.Seq.pending))
		case w.Logits < 0 || w.Logits > len(w.Tokens):
			return fmt.Errorf("kv: work %d: logits of %d tokens wanted of %d", i, w.Logits, len(w.Tokens))
		case w.Before < 0 || w.More < 0:
			return fmt.Errorf("kv: work %d: a pass of a prompt with %d tokens before and %d after it: want at least 0", i, w.Before, w.More)
		}
		for j := range i {
			if batch[j].Seq == w.Seq {
				return fmt.Errorf("kv: works %d and %d are of the same sequence: join their tokens", j, i)
			}
		}
	}
	return nil
}
