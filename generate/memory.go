package generate

import (
	"context"
	"errors"
	"slices"
)

// A batch lives in a memory of which others take a part, and which its texts outgrow. What cannot go on
// waits, and goes on when others have ended: nobody loses a text that there would be room for alone.

// Claim is what a search needs of the memory: more tokens of a sequence that it has, or of a new one where
// Seq is zero.
type Claim[S any] struct {
	Seq  S
	More int
}

// Shortage says what a step was short of that had no room.
type Shortage[S any] struct {
	// Of reports whether a sequence takes some of it: giving that sequence up would help. nil: all do.
	Of func(S) bool
}

const (
	// leastGrowth is for how many new tokens of each text there must be room before a request begins, or
	// as many as it is for. Memory is taken in blocks of as many.
	leastGrowth = 256
	// retrySteps is after how many steps a request that waits is tried though none has ended, and twice as
	// many the next time: there may be room that the batch has not been told of.
	retrySteps     = 32
	mostRetrySteps = 1 << 14
	// mostRooms is how often the owner is asked for room for one step.
	mostRooms = 1000
)

// short returns what the model was short of, nil if its error is another one.
func (b *Batch[S, W]) short(err error) *Shortage[S] {
	if b.options.Short == nil {
		return nil
	}
	return b.options.Short(err)
}

// claim returns what the searches that take part in steps need, and another one, if it is not nil.
func (b *Batch[S, W]) claim(another *Task[S]) []Claim[S] {
	claims := b.claims[:0]
	for _, t := range b.tasks {
		if t.place != active && t != another || !t.running() {
			continue
		}
		growth := leastGrowth
		if t.growth > 0 {
			growth = min(growth, max(0, t.growth-t.grown()))
		}
		first := Claim[S]{More: t.left + growth*max(1, t.texts-max(len(t.seqs)-1, 0))}
		if len(t.seqs) > 0 {
			first.Seq = t.seqs[0]
		} else {
			first.More += t.high // which come back
		}
		claims = append(claims, first)
		for i := 1; i < len(t.seqs); i++ {
			claims = append(claims, Claim[S]{t.seqs[i], growth})
		}
	}
	b.claims = claims
	return claims
}

// admit lets requests that wait take part in steps: those that were set aside when there may be room again,
// one in a step, and then the others, the shortest first, as long as they fit.
func (b *Batch[S, W]) admit(ctx context.Context) error {
	for {
		t, others := b.nextWaiting()
		if t == nil {
			return nil
		}
		returns := t.place == aside
		if others {
			if returns && !b.freed && (!b.came || t.restore != nil) {
				return nil
			}
			if fits, err := b.fits(ctx, t); !fits {
				return err
			}
		}
		t.place = active
		if t.restore == nil {
			if returns && others {
				return nil
			}
			continue
		}
		if err := b.bring(ctx, t, others); err != nil || returns && others || !t.running() {
			return err
		}
	}
}

// nextWaiting returns the request that comes next of those that wait, and whether others take part in steps.
func (b *Batch[S, W]) nextWaiting() (next *Task[S], others bool) {
	for _, t := range b.tasks {
		switch {
		case !t.running():
		case t.place == active:
			others = true
		case next == nil, t.comesBefore(next, b.once):
			next = t
		}
	}
	return next, others
}

// comesBefore reports whether a request that waits comes before one that was added earlier.
func (t *Task[S]) comesBefore(u *Task[S], once int) bool {
	switch {
	case t.place != u.place:
		return t.place == aside
	case t.place == aside:
		return t.begun && !u.begun
	}
	return t.urgency(once) < u.urgency(once)
}

// fits reports whether there is room for a request beside those that take part in steps, and asks for it if
// there is not.
func (b *Batch[S, W]) fits(ctx context.Context, t *Task[S]) (bool, error) {
	if b.options.Fits == nil || b.options.Fits(b.claim(t)) {
		return true, nil
	}
	for i := 0; i < mostRooms && !b.asked && b.options.Full != nil; i++ {
		made, err := b.options.Full(ctx, b.claims, nil)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if b.asked = !made || err != nil; b.asked {
			b.coming = b.roomComing()
		}
		if made && b.options.Fits(b.claim(t)) {
			return true, nil
		}
	}
	return false, nil
}

// bring brings back the rows of a parked search. If there is no room for them, it stays parked, or others
// that wait give theirs away if it is alone.
func (b *Batch[S, W]) bring(ctx context.Context, t *Task[S], others bool) error {
	for asked := 0; ; asked++ {
		seq, err := t.restore(ctx)
		if err == nil {
			t.endOn(t.bring(seq))
			return nil
		}
		if ctx.Err() != nil {
			t.place = aside
			return ctx.Err()
		}
		short := b.short(err)
		if short != nil && others {
			t.place, b.freed, b.came, b.coming = aside, false, false, b.roomComing()
			return nil
		}
		made, hook := false, error(nil)
		if short != nil {
			if made, hook = b.makeRoom(ctx, short, err, asked); !made {
				made = b.await(ctx, t)
			}
		}
		if ctx.Err() != nil {
			t.place = aside
			return ctx.Err()
		}
		if !made || t.cancelled() {
			t.fail(errors.Join(err, hook))
			return nil
		}
	}
}

// roomComing returns a channel that is closed when there may be more room; nil: nothing is on its way.
func (b *Batch[S, W]) roomComing() <-chan struct{} {
	if b.options.Coming == nil {
		return nil
	}
	return b.options.Coming()
}

// look lets those come back that were set aside, if the room has come that was on its way. Those that were
// parked for that do not: they would take it.
func (b *Batch[S, W]) look() {
	if b.coming == nil {
		return
	}
	select {
	case <-b.coming:
		b.coming, b.came, b.asked = nil, true, false
	default:
	}
}

// await waits until there may be more room, or a search is cancelled that cannot go on without. It reports
// false if nothing is on its way.
func (b *Batch[S, W]) await(ctx context.Context, t *Task[S]) bool {
	coming := b.roomComing()
	if coming == nil {
		return false
	}
	var cancelled <-chan struct{}
	if t.ctx != nil {
		cancelled = t.ctx.Done()
	}
	select {
	case <-coming:
		b.asked = false
	case <-cancelled:
	case <-ctx.Done():
	}
	return true
}

// makeRoom makes room for a step, or for a sequence that comes back: its owner does, or one that waits gives
// its rows away. It reports whether there is more room now.
func (b *Batch[S, W]) makeRoom(ctx context.Context, short *Shortage[S], why error, asked int) (made bool, err error) {
	if b.options.Full != nil && asked < mostRooms {
		if made, err = b.options.Full(ctx, b.claim(nil), why); made && err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	if b.roomComing() != nil {
		return false, err
	}
	holder := b.leastUrgent(func(t *Task[S]) bool { return t.place != active && t.holds() && b.concerned(t, short) })
	if holder == nil {
		return false, err
	}
	b.stats.Parked++
	if holder.place == queued {
		holder.place = aside
	}
	if failed := holder.park(ctx, b.options.Park); failed != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		holder.fail(failed)
		return true, nil
	}
	holder.measure()
	return b.roomComing() == nil, nil
}

// relieve does something about a step for which there was no room, so that another one can be tried: there is
// more room, or one request less in it. If there is one, it waits for room that is on its way, and otherwise a
// request for which there is nothing to be done ends.
func (b *Batch[S, W]) relieve(ctx context.Context, short *Shortage[S], why error, asked int) error {
	made, err := b.makeRoom(ctx, short, why, asked)
	if made || ctx.Err() != nil {
		return ctx.Err()
	}
	concerned := 0
	last := b.leastUrgent(func(t *Task[S]) bool {
		if t.place == active && b.concerned(t, short) {
			concerned++
			return true
		}
		return false
	})
	if concerned > 1 {
		last.place, b.freed, b.came, b.coming = aside, false, false, b.roomComing()
		b.stats.SetAside++
		return nil
	}
	if last == nil { // the shortage is of sequences that no request has
		last = b.running[0]
	}
	if !b.await(ctx, last) || last.cancelled() {
		last.fail(errors.Join(why, err))
	}
	return ctx.Err()
}

// concerned reports whether a search has some of what is short.
func (b *Batch[S, W]) concerned(t *Task[S], short *Shortage[S]) bool {
	if short.Of == nil {
		return true
	}
	return slices.ContainsFunc(t.seqs, short.Of)
}

// leastUrgent returns the least urgent of some searches: the last one to come of those whose texts do not
// grow yet, or of all if there are none.
func (b *Batch[S, W]) leastUrgent(of func(*Task[S]) bool) (last *Task[S]) {
	for _, t := range b.tasks {
		if t.running() && of(t) && (last == nil || !t.begun || last.begun) {
			last = t
		}
	}
	return last
}
