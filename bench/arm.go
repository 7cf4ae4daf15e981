package bench

import (
	"context"
	"errors"
)

// arm is a program whose steps are timed.
type arm interface {
	name() string
	// rewind makes the first depth tokens the whole sequence.
	rewind(ctx context.Context, depth int) error
	// step appends n tokens. The logits of the last are in host memory
	// afterwards.
	step(ctx context.Context, n int) error
	Close() error
}

// token returns the token at a position, the same for all arms. What the tokens
// say makes no difference to the time that they take.
func token(position, vocab int) int32 { return int32(position * 7919 % vocab) }

// tokens writes the n tokens from a position on over ids.
func tokens(ids []int32, from, n, vocab int) []int32 {
	ids = ids[:0]
	for i := range n {
		ids = append(ids, token(from+i, vocab))
	}
	return ids
}

// closeAll closes arms that are no longer needed.
func closeAll[A arm](arms []A) error {
	var errs []error
	for _, a := range arms {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}
