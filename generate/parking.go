package generate

import (
	"context"
	"errors"
)

// Phase says what a batch does with a search.
type Phase int

// The phases of a search.
const (
	Queued     Phase = iota // it has not begun: there was no room for it
	InPrompt                // its prompt is computed, or what it has lost is computed again
	Growing                 // its texts grow
	SetAside                // it waits with its sequences for room
	Parked                  // it waits, and its rows were given away for others
	Ended                   // it has ended
	phaseCount              // keep this last
)

// String returns the phase in a word or two.
func (p Phase) String() string {
	if p < 0 || p >= phaseCount {
		return "unknown phase"
	}
	return [...]string{"queued", "in its prompt", "growing", "set aside", "parked", "ended"}[p]
}

// place says whether a search takes part in steps.
type place int

const (
	queued place = iota // it waits, and never has
	active
	aside // it waits, and has
)

// Phase returns what the batch does with the search.
func (t *Task[S]) Phase() Phase {
	switch {
	case !t.running():
		return Ended
	case t.place == queued:
		return Queued
	case t.place == aside && (t.restore != nil || t.behind):
		return Parked
	case t.place == aside:
		return SetAside
	case t.left > 0:
		return InPrompt
	}
	return Growing
}

// holds reports whether a search that waits has rows that could be given away.
func (t *Task[S]) holds() bool {
	for _, seq := range t.seqs {
		if seq.Len() > 0 {
			return true
		}
	}
	return false
}

// park gives away the rows of a search: those of its first sequence to park, which says how they come back,
// as far as all branches have them in common, and the others for good. Without park, or if it fails, all
// are computed again.
func (t *Task[S]) park(ctx context.Context, park func(context.Context, S) (func(context.Context) (S, error), error)) error {
	var errs []error
	forks, seq := t.parts()
	for _, fork := range forks {
		errs = append(errs, fork.Close())
	}
	t.high = max(t.high, seq.Len())
	t.seqs, t.behind, t.done = append(t.seqs[:0], seq), true, 0
	if t.begun {
		if n := t.plant(); seq.Len() > n {
			errs = append(errs, seq.Truncate(n))
		}
	}
	if park != nil {
		restore, err := park(ctx, seq)
		if err == nil {
			t.restore, t.seqs = restore, t.seqs[:0]
			if t.kept || t.leaves {
				var none S
				t.own = none
			}
			return errors.Join(errs...)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(append(errs, seq.Truncate(0))...)
}

// parts returns the sequence from which all others of a search can be made again, and those.
func (t *Task[S]) parts() (forks []S, seq S) {
	if t.leaves && !t.behind {
		return t.seqs, t.own
	}
	return t.seqs[1:], t.seqs[0]
}

// lose has a search go on whose step has failed because rows cannot be read: with another sequence, and what
// that does not have is computed again. For other errors the search ends.
func (b *Batch[S, W]) lose(ctx context.Context, t *Task[S], why error) error {
	if b.options.Lost == nil || !t.begun || t.cancelled() {
		t.fail(why)
		return nil
	}
	forks, seq := t.parts()
	high := seq.Len()
	seq, lost, failed := b.options.Lost(ctx, seq, why)
	if failed != nil || !lost {
		t.fail(errors.Join(why, failed))
		return ctx.Err()
	}
	b.stats.Lost++
	var errs []error
	for _, fork := range forks {
		errs = append(errs, fork.Close())
	}
	t.high = max(t.high, high)
	t.seqs, t.behind, t.done = append(t.seqs[:0], seq), true, 0
	if n := t.plant(); seq.Len() > n {
		errs = append(errs, seq.Truncate(n))
	}
	if err := errors.Join(append(errs, t.bring(seq))...); err != nil {
		t.fail(err)
	}
	return nil
}

// bring takes a sequence that was parked.
func (t *Task[S]) bring(seq S) error {
	t.restore, t.seqs = nil, append(t.seqs[:0], seq)
	if t.kept || t.leaves {
		t.own = seq
	}
	if t.begun {
		return t.rebuild()
	}
	return nil
}
