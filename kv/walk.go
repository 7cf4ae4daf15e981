package kv

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/tier"
)

// copies are the transfers that a walk puts in order. Visits are numbered in the order in which
// they are computed; visit i uses slot i mod slots.
type copies interface {
	// fetch copies visit i's rows into its slot, which is free since then.
	fetch(ctx context.Context, i int, free time.Time) error
	// store copies the rows that visit i's computation wrote to where they are kept.
	store(ctx context.Context, i int) error
	// fetchAhead copies the rows that the following step will want first in a slot.
	fetchAhead(ctx context.Context, slot int, free time.Time) error
}

// walk is the order of one step's copies and computations. One goroutine for each lane calls
// fetchAll, and one storeAll; another computes the visits in order, each between acquire and
// release. With two slots and one lane:
//
//	fetchAll:  fetch 0, fetch 1 │ fetch 2 │ fetch 3 │ …
//	compute:            0       │    1    │    2    │ …
//	storeAll:                   │ store 0 │ store 1 │ …
//
// Two rules make it right. A slot is fetched into only when the visit before in it has been
// released and its new rows are stored. A visit is computed only when its fetch has finished. After
// the last visit of a slot fetchAll continues with the rows that the next step will want there, so
// that the end of a step hides the beginning of the next one. The visits of one slot follow each
// other, so no row is fetched before it is stored.
//
// Each lane fetches into slots of its own. With two lanes, the first reads of a visit are under way
// while the last ones of the visit before are awaited and verified.
type walk struct {
	visits  int
	slots   int
	lanes   int
	inPlace bool   // nothing is stored: a released slot is free
	broken  broken // for tests alone

	changed [parties]chan struct{} // holds one when something has changed since the party looked last

	mu       sync.Mutex
	fetched  int // visits that may be acquired
	released int // visits whose computation has finished
	stored   int // visits whose new rows are stored
	progress []progress
	began    time.Time
	stall    time.Duration // time that acquire has waited
	err      error         // why copies have ended early
}

// progress is what a walk notes of a visit.
type progress struct {
	fetched bool
	freed   time.Time // when it was released
}

// maxLanes is how many visits are fetched at a time at most.
const maxLanes = 2

// party is one of the goroutines of a walk, which wait for each other.
type party int

const (
	fetching party = iota // the first lane; the others follow
	storing  party = maxLanes - 1 + iota
	computing
	parties
)

// broken removes one of a walk's waits. The race tests use it to prove that they would notice.
type broken int

const (
	intact           broken = iota
	useUnfetched            // acquire does not wait for the fetch
	fetchIntoUsed           // a fetch does not wait for the slot's release
	fetchBeforeStore        // a fetch does not wait for the slot's store
)

// errStopped is what acquire returns once the walk was cancelled.
var errStopped = fmt.Errorf("%w: the step", ErrClosed)

func newWalk(visits, slots, lanes int) *walk {
	w := &walk{visits: visits, slots: slots, lanes: lanes, progress: make([]progress, visits), began: time.Now()}
	for i := range w.changed {
		if p := party(i); p < party(lanes) || p >= storing {
			w.changed[p] = make(chan struct{}, 1)
		}
	}
	return w
}

// fetchAll makes a lane's fetches of the step and those ahead of the next. It returns when the last
// is made, when one fails, or when ctx is cancelled.
func (w *walk) fetchAll(ctx context.Context, c copies, lane int) {
	for i := range w.visits + w.slots {
		slot := i % w.slots
		if slot%w.lanes != lane {
			continue
		}
		before, free := i-w.slots, w.began // the slot's visit before this one
		if before >= 0 {
			if !w.waitFree(ctx, lane, before) {
				return
			}
			free = w.progress[before].freed
		}
		if i >= w.visits {
			_ = c.fetchAhead(ctx, slot, free) // if it fails, the next step's own fetch says so
			continue
		}
		if !w.arrived(ctx, i, c.fetch(ctx, i, free)) {
			return
		}
	}
}

// storeAll stores the new rows of each visit once it has been computed. It returns like fetchAll.
func (w *walk) storeAll(ctx context.Context, c copies) {
	for i := range w.visits {
		if !w.wait(ctx, storing, &w.released, i+1) || !w.kept(ctx, c.store(ctx, i)) {
			return
		}
	}
}

// waitFree waits until a slot may be fetched into after a visit of it.
func (w *walk) waitFree(ctx context.Context, lane, before int) bool {
	party := fetching + party(lane)
	switch w.broken {
	case fetchIntoUsed:
		return true
	case fetchBeforeStore:
		return w.wait(ctx, party, &w.released, before+1)
	default:
		return w.wait(ctx, party, &w.stored, before+1)
	}
}

// arrived records that visit i has been fetched, or why not. It may be acquired when the visits
// before it have been fetched, too.
func (w *walk) arrived(ctx context.Context, i int, err error) bool {
	w.mu.Lock()
	w.progress[i].fetched = err == nil
	for w.fetched < w.visits && w.progress[w.fetched].fetched {
		w.fetched++
	}
	return w.copied(ctx, err)
}

// kept records that the new rows of one more visit are stored, or why not.
func (w *walk) kept(ctx context.Context, err error) bool {
	w.mu.Lock()
	if err == nil {
		w.stored++
	}
	return w.copied(ctx, err)
}

// copied ends the use of the lock after a copy, and records why it failed. The first failure counts.
func (w *walk) copied(ctx context.Context, err error) bool {
	switch {
	case err == nil || w.err != nil:
	case ctx.Err() != nil:
		w.err = errStopped
	default:
		w.err = err
	}
	w.mu.Unlock()
	w.announce()
	return err == nil
}

// announce wakes the parties that wait for something to change.
func (w *walk) announce() {
	for _, c := range w.changed {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// sleep lets a party that holds the lock wait until something has changed, or ctx is cancelled.
func (w *walk) sleep(ctx context.Context, party party) {
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-w.changed[party]:
	case <-ctx.Done():
	}
}

// wait blocks a mover until a counter has reached want. It is false if the walk ended before.
func (w *walk) wait(ctx context.Context, party party, counter *int, want int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for *counter < want && w.err == nil {
		if ctx.Err() != nil {
			w.err = errStopped
			w.announce()
			return false
		}
		w.sleep(ctx, party)
	}
	return *counter >= want
}

// acquire waits until the rows of visit i are in its slot.
func (w *walk) acquire(ctx context.Context, i int) error {
	if w.broken == useUnfetched {
		return ctx.Err()
	}
	return w.await(ctx, &w.fetched, i+1)
}

// waitUntil blocks until rows that were fetched have come over the link, and counts the time as
// stall. Nobody but the computation sleeps for a link, and only if it is ahead: no thread is woken
// beside those that compute.
func (w *walk) waitUntil(ctx context.Context, due time.Time) error {
	start := time.Now()
	if !start.Before(due) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.stall += time.Since(start) }()
	for {
		left := time.Until(due)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case w.err != nil:
			return w.err
		case left <= 0:
			return nil
		case left <= coarse:
			w.mu.Unlock()
			tier.Sleep(left)
			w.mu.Lock()
		default:
			soon, cancel := context.WithTimeout(ctx, left-coarse)
			w.sleep(soon, computing)
			cancel()
		}
	}
}

// coarse is by how much one of Go's timers may be late, and more.
const coarse = 2 * time.Millisecond

// release records that the computation of the next visit in order has finished.
func (w *walk) release() {
	w.mu.Lock()
	w.progress[w.released].freed = time.Now()
	w.released++
	if w.inPlace {
		w.stored = w.released
	}
	w.mu.Unlock()
	w.announce()
}

// finish waits until the new rows of all visits are stored.
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
	start := time.Now()
	defer func() { w.stall += time.Since(start) }()
	for *counter < want {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.err != nil {
			return w.err
		}
		w.sleep(ctx, computing)
	}
	return nil
}

// stalled returns how long the computation has waited for copies so far.
func (w *walk) stalled() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stall
}
