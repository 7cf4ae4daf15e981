package kv

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// copies are the transfers that a walk puts in order. Visits are numbered in
// the order in which they are computed; visit i uses slot i mod slots.
type copies interface {
	// fetch brings visit i's rows into its slot, which was free from then on.
	fetch(ctx context.Context, i int, free time.Time) error
	// store keeps the rows that visit i's computation wrote.
	store(ctx context.Context, i int) error
	// next brings the rows that the following step will want first in a slot.
	next(ctx context.Context, slot int, free time.Time) error
}

// walk is the order of one step's copies and computations. One goroutine, the
// mover, calls move; another computes the visits in order, each between acquire
// and release. With S slots:
//
//	mover:    fetch 0 … fetch S-1 │ store 0, fetch S │ store 1, fetch S+1 │ …
//	compute:       0  1  2 …
//
// What makes it right: a slot is fetched into only when the visit before in it
// has been released and stored; a visit is computed only when its fetch has
// finished; and as one goroutine makes all copies, no row is fetched before its
// store has finished. After the last visit of a slot the mover fetches what the
// next step will want there, so a step's end hides the next one's beginning.
type walk struct {
	visits int
	slots  int
	broken broken // for tests alone

	mu       sync.Mutex
	changed  sync.Cond
	fetched  int         // visits that may be acquired
	released int         // visits whose computation has finished
	stored   int         // visits whose new rows are kept
	freed    []time.Time // when each visit was released
	began    time.Time
	stall    time.Duration // time that acquire has waited
	err      error         // why the mover stopped
}

// broken removes one of a walk's waits. The race tests use it to prove that
// they would notice.
type broken int

const (
	intact           broken = iota
	useUnfetched            // acquire does not wait for the fetch
	fetchIntoUsed           // a fetch does not wait for the slot's release
	fetchBeforeStore        // a fetch does not wait for the slot's store
)

// errStopped is what acquire returns once the walk was cancelled.
var errStopped = fmt.Errorf("%w: the step", ErrClosed)

func newWalk(visits, slots int) *walk {
	w := &walk{visits: visits, slots: slots, freed: make([]time.Time, visits), began: time.Now()}
	w.changed.L = &w.mu
	return w
}

// move makes the copies of the step. It returns when the last is made, when one
// fails, or when ctx is cancelled.
func (w *walk) move(ctx context.Context, c copies) {
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	for i := range w.visits + w.slots {
		before, free := i-w.slots, w.began // the slot's visit before this one
		if before >= 0 && w.broken != fetchIntoUsed {
			if err := w.waitReleased(ctx, before); err != nil {
				w.fail(ctx, err)
				return
			}
			free = w.freed[before]
		}
		if before >= 0 && w.broken != fetchBeforeStore {
			if err := w.store(ctx, c, before); err != nil {
				return
			}
		}
		if err := w.fetch(ctx, c, i, free); err != nil {
			return
		}
		if before >= 0 && w.broken == fetchBeforeStore {
			if err := w.store(ctx, c, before); err != nil {
				return
			}
		}
	}
}

func (w *walk) store(ctx context.Context, c copies, i int) error {
	err := c.store(ctx, i)
	w.advance(ctx, &w.stored, err)
	return err
}

// fetch brings the rows of visit i, or past the last visit those that the next
// step will want. If the latter fails, that step fetches them again and says so.
func (w *walk) fetch(ctx context.Context, c copies, i int, free time.Time) error {
	if i >= w.visits {
		_ = c.next(ctx, (i-w.slots)%w.slots, free)
		return nil
	}
	err := c.fetch(ctx, i, free)
	w.advance(ctx, &w.fetched, err)
	return err
}

// advance counts a finished copy, or notes why it failed.
func (w *walk) advance(ctx context.Context, count *int, err error) {
	if err != nil {
		w.fail(ctx, err)
		return
	}
	w.mu.Lock()
	*count++
	w.mu.Unlock()
	w.changed.Broadcast()
}

// fail ends the walk: with why a copy failed, or that it was cancelled.
func (w *walk) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		err = errStopped
	}
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	w.changed.Broadcast()
}

func (w *walk) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed.Broadcast()
}

func (w *walk) waitReleased(ctx context.Context, i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.released <= i {
		if ctx.Err() != nil {
			return errStopped
		}
		w.changed.Wait()
	}
	return nil
}

// acquire waits until the rows of visit i are in its slot.
func (w *walk) acquire(ctx context.Context, i int) error {
	if w.broken == useUnfetched {
		return ctx.Err()
	}
	return w.await(ctx, &w.fetched, i+1)
}

// release says that the computation of the next visit in order has finished.
func (w *walk) release() {
	w.mu.Lock()
	w.freed[w.released] = time.Now()
	w.released++
	w.mu.Unlock()
	w.changed.Broadcast()
}

// finish waits until the new rows of all visits are kept.
func (w *walk) finish(ctx context.Context) error {
	return w.await(ctx, &w.stored, w.visits)
}

// await blocks until a counter has reached want, and counts the time as stall.
func (w *walk) await(ctx context.Context, counter *int, want int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *counter >= want {
		return nil
	}
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	start := time.Now()
	defer func() { w.stall += time.Since(start) }()
	for *counter < want {
		if w.err != nil {
			return w.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		w.changed.Wait()
	}
	return nil
}

// stalled returns how long the computation has waited for copies so far.
func (w *walk) stalled() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stall
}
