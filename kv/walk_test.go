package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// paced are copies that take a stated time, and note what they do when.
type paced struct {
	fetchTime, storeTime time.Duration
	verifyTime           time.Duration // of each fetch, after the disk has been read
	began                time.Time
	failFetch            int // the visit whose fetch fails; -1: none

	disk chan struct{} // holds one while it reads for a fetch; nil: fetches do not wait for each other

	mu  sync.Mutex
	log []string
}

func (p *paced) note(what string, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprintf("%v %s %d", time.Since(p.began), what, i))
}

func (p *paced) fetch(_ context.Context, i int, _ time.Time) error {
	p.read(i)
	if i == p.failFetch {
		return errLink
	}
	p.note("fetched", i)
	return nil
}

// read takes the time of a fetch for a visit.
func (p *paced) read(i int) {
	if p.disk == nil {
		time.Sleep(p.fetchTime)
		return
	}
	time.Sleep(time.Duration(i)) // so that of two fetches at one moment the earlier visit's is first
	p.disk <- struct{}{}         // a mutex would stop fake time
	time.Sleep(p.fetchTime)
	<-p.disk
	time.Sleep(p.verifyTime)
}

func (p *paced) store(_ context.Context, i int) error {
	time.Sleep(p.storeTime)
	p.note("stored", i)
	return nil
}

func (p *paced) fetchAhead(_ context.Context, slot int, _ time.Time) error {
	p.read(slot)
	p.note("next", slot)
	return nil
}

var errLink = errors.New("the link is down")

// start runs both sides of a walk's copies until they end.
func (p *paced) start(ctx context.Context, w *walk) *sync.WaitGroup {
	p.began = time.Now()
	var running sync.WaitGroup
	for lane := range w.lanes {
		running.Go(func() { w.fetchAll(ctx, p, lane) })
	}
	running.Go(func() { w.storeAll(ctx, p) })
	return &running
}

// stream computes visits that take a stated time, and returns how long the step took and how long
// it waited.
func stream(t *testing.T, visits, slots, lanes int, c *paced, compute time.Duration) (total, stall time.Duration) {
	t.Helper()
	w := newWalk(visits, slots, lanes)
	running := c.start(t.Context(), w)
	for i := range visits {
		if err := w.acquire(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		time.Sleep(compute)
		w.release()
	}
	if err := w.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	total = time.Since(c.began)
	running.Wait()
	return total, w.stalled()
}

func TestWalkTakesTheLongerOfComputeAndLink(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name           string
		visits, slots  int
		fetch, compute time.Duration
		total, stall   time.Duration
	}{
		// the first fetch is not hidden by anything in this step
		{"compute longer", 30, 2, 1 * ms, 2 * ms, (1 + 30*2) * ms, 1 * ms},
		{"equal", 30, 2, 2 * ms, 2 * ms, (2 + 30*2) * ms, 2 * ms},
		// the last computation is not hidden by a fetch
		{"link longer", 30, 2, 4 * ms, 1 * ms, (30*4 + 1) * ms, (30*4 + 1 - 30) * ms},
		{"odd number of visits", 5, 2, 1 * ms, 3 * ms, (1 + 5*3) * ms, 1 * ms},
		{"three slots", 7, 3, 1 * ms, 3 * ms, (1 + 7*3) * ms, 1 * ms},
		{"one slot overlaps nothing", 4, 1, 1 * ms, 3 * ms, 4 * (1 + 3) * ms, 4 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				total, stall := stream(t, tt.visits, tt.slots, 1, &paced{fetchTime: tt.fetch, failFetch: -1}, tt.compute)
				if total != tt.total || stall != tt.stall {
					t.Errorf("total %v, stall %v; want %v, %v", total, stall, tt.total, tt.stall)
				}
			})
		})
	}
}

func TestWalkOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &paced{fetchTime: 10 * time.Millisecond, storeTime: time.Millisecond, failFetch: -1}
		stream(t, 3, 2, 1, c, 20*time.Millisecond)
		want := []string{
			"10ms fetched 0", "20ms fetched 1", // both slots were free
			"31ms stored 0", "41ms fetched 2", // 0 was computed until 30 ms
			"51ms stored 1", "61ms next 1", // 1 until 50
			"71ms stored 2", "81ms next 0", // 2 until 70
		}
		if diff := cmp.Diff(want, c.log); diff != "" {
			t.Errorf("copies (-want +got):\n%s", diff)
		}
	})
}

// With two lanes a disk reads for the next visit while what was read for the last one is verified.
func TestTwoLanesKeepADiskBusy(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name         string
		slots, lanes int
		compute      time.Duration
		total        time.Duration
	}{
		{"one lane", 2, 1, 1 * ms, (30*(4+1) + 1) * ms},
		{"two lanes", 2, 2, 1 * ms, (30*4 + 1 + 1) * ms},
		{"three slots: every third visit follows one of its own lane", 3, 2, 1 * ms, (30*4 + 10*1 + 1) * ms},
		{"four slots", 4, 2, 1 * ms, (30*4 + 1 + 1) * ms},
		{"compute longer", 2, 2, 6 * ms, (4 + 1 + 30*6) * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &paced{fetchTime: 4 * ms, verifyTime: 1 * ms, failFetch: -1, disk: make(chan struct{}, 1)}
				total, _ := stream(t, 30, tt.slots, tt.lanes, c, tt.compute)
				if total = total.Round(ms / 10); total != tt.total {
					t.Errorf("%v; want %v", total, tt.total)
				}
			})
		})
	}
}

func TestWalkFetchFailureReachesTheVisit(t *testing.T) {
	for lanes := 1; lanes <= maxLanes; lanes++ {
		t.Run(fmt.Sprint(lanes), func(t *testing.T) { fetchFailureReachesTheVisit(t, lanes) })
	}
}

func fetchFailureReachesTheVisit(t *testing.T, lanes int) {
	synctest.Test(t, func(t *testing.T) {
		w := newWalk(4, 2, lanes)
		// The fetch takes time, so that the visits before are there first: all visits get the failure.
		running := (&paced{failFetch: 2, fetchTime: time.Millisecond}).start(t.Context(), w)
		for i := range 2 {
			if err := w.acquire(t.Context(), i); err != nil {
				t.Fatalf("visit %d: %v", i, err)
			}
			w.release()
		}
		if err := w.acquire(t.Context(), 2); !errors.Is(err, errLink) {
			t.Errorf("visit 2: %v; want %v", err, errLink)
		}
		running.Wait()
		if err := w.finish(t.Context()); err == nil {
			t.Error("finish after a failed fetch: no error")
		}
	})
}

func TestWalkCancelledEndsBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWalk(4, 2, 1)
		running := (&paced{failFetch: -1, fetchTime: time.Second}).start(ctx, w)
		time.AfterFunc(time.Millisecond, cancel)
		if err := w.acquire(ctx, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("acquire: %v; want %v", err, context.Canceled)
		}
		running.Wait() // both wait for a release that does not come, and leave
		if err := w.finish(t.Context()); !errors.Is(err, errStopped) {
			t.Errorf("finish: %v; want %v", err, errStopped)
		}
	})
}

func TestWaitUntilRowsHaveComeOverTheLink(t *testing.T) {
	const ms = time.Millisecond
	w := newWalk(1, 1, 1)
	start := time.Now()
	if err := w.waitUntil(t.Context(), start.Add(3*ms)); err != nil || time.Since(start) < 3*ms || w.stalled() < 3*ms {
		t.Errorf("%v after %v, %v of it stall; want no error after 3ms", err, time.Since(start), w.stalled())
	}
	before := w.stalled()
	if err := w.waitUntil(t.Context(), start); err != nil || w.stalled() != before {
		t.Errorf("rows that are there: %v, and a stall of %v", err, w.stalled()-before)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w, start := newWalk(1, 1, 1), time.Now()
		time.AfterFunc(3*ms, cancel)
		if err := w.waitUntil(ctx, start.Add(10*ms)); !errors.Is(err, context.Canceled) || time.Since(start) != 3*ms || w.stalled() != 3*ms {
			t.Errorf("%v after %v, %v of it stall; want %v after 3ms", err, time.Since(start), w.stalled(), context.Canceled)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the copies end early
		ctx, cancel := context.WithCancel(t.Context())
		c := &paced{failFetch: -1}
		w, start := newWalk(2, 1, 1), time.Now()
		running := c.start(ctx, w)
		time.AfterFunc(3*ms, cancel)
		if err := w.waitUntil(t.Context(), start.Add(10*ms)); !errors.Is(err, ErrClosed) || time.Since(start) != 3*ms {
			t.Errorf("%v after %v; want %v after 3ms", err, time.Since(start), ErrClosed)
		}
		running.Wait()
	})
}
