package measure

import (
	"context"
	"errors"
)

// Arm is a program whose steps are timed.
type Arm interface {
	Name() string
	// Rewind makes the first depth tokens the whole sequence.
	Rewind(ctx context.Context, depth int) error
	// Step appends n tokens. Afterwards the logits of the last token are in host memory.
	Step(ctx context.Context, n int) error
	Close() error
}

// Timed is an arm that times its own steps, as a program does that begins anew with each turn.
type Timed interface {
	Arm
	// Turn appends n tokens, and as many again, for as many steps as the pace says, those of its
	// warm-up apart. It returns the seconds of each step.
	Turn(ctx context.Context, n int, p Pace) ([]float64, error)
}

// Accompanied is an arm during whose turns this process keeps other programs running.
type Accompanied interface {
	Arm
	// Cores returns how many cores these programs take. They do not count as a disturbance.
	Cores() float64
}

// Token returns the token at a position, the same for all arms. Which tokens are computed makes no
// difference to the time.
func Token(position, vocab int) int32 { return int32(position * 7919 % vocab) }

// Tokens replaces ids by the n tokens from a position on.
func Tokens(ids []int32, from, n, vocab int) []int32 {
	ids = ids[:0]
	for i := range n {
		ids = append(ids, Token(from+i, vocab))
	}
	return ids
}

// CloseAll closes arms that are no longer needed.
func CloseAll[A Arm](arms []A) error {
	var errs []error
	for _, a := range arms {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}
