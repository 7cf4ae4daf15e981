package ebb

import (
	"sync"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// threads watches how a CPU computes and asks its governor with how many threads
// to go on. Between two calls of enter and leave one computation runs.
type threads struct {
	governor governor
	clocks   clocks

	entered time.Time // when the computation began
	left    time.Time // when the one before ended
	began   time.Time // of the window, the end of a computation; zero before the first
	gaps    time.Duration
	want    time.Duration
	used    time.Duration // clocks.used when the window began
	idle    time.Duration // clocks.idle when the window began

	mu    sync.Mutex
	stats ThreadStats
}

// clocks are what threads reads.
type clocks struct {
	now  func() time.Time
	used func() (cputime.Usage, bool)
	idle func() (time.Duration, bool)
}

// ThreadStats say with how many threads a CPU has computed.
type ThreadStats struct {
	Most    int           // with which it computes when nothing else runs
	Least   int           // with which it has computed
	Lowered int           // how often it went on with fewer
	Time    time.Duration // computed
	Fewer   time.Duration // of it, with fewer than most
}

// newThreads returns what watches n threads, and nil where the system does not
// tell how much CPU time a process uses.
func newThreads(n int, c clocks) *threads {
	if _, ok := c.used(); !ok {
		return nil
	}
	return &threads{governor: newGovernor(n), clocks: c, stats: ThreadStats{Most: n, Least: n}}
}

// systemClocks are those of this machine.
func systemClocks() clocks {
	return clocks{now: time.Now, used: cputime.Process, idle: cputime.Idle}
}

// spinning is for how long threads surely spin after a computation before they
// sleep: ggml counts rounds, which take 10 ms on the fastest processors.
const spinning = 5 * time.Millisecond

// faultTime is how long a thread waits for a page of a file, roughly: it does
// not compute then, but no other program has taken its core.
const faultTime = time.Millisecond

func (t *threads) enter() {
	t.entered = t.clocks.now()
	if t.began.IsZero() {
		t.begin(t.entered)
		return
	}
	gap := t.entered.Sub(t.left)
	t.gaps += gap
	t.want += min(gap, spinning) * time.Duration(t.governor.threads-1)
}

// leave returns with how many threads the next computation should run.
func (t *threads) leave() int {
	now, n := t.clocks.now(), t.governor.threads
	computed := now.Sub(t.entered)
	t.left = now
	t.want += computed * time.Duration(n)
	if now.Sub(t.began) >= leastWindow {
		t.governor.next(t.end(now))
		t.begin(now)
	}
	t.count(computed, n)
	return t.governor.threads
}

// begin starts a window.
func (t *threads) begin(now time.Time) {
	t.began, t.left, t.gaps, t.want = now, now, 0, 0
	t.used, t.idle = t.read()
}

// end returns what was seen since begin.
func (t *threads) end(now time.Time) window {
	used, idle := t.read()
	w := window{wall: now.Sub(t.began), gaps: t.gaps, want: t.want, used: used - t.used, idle: unknownIdle}
	if idle != unknownIdle && t.idle != unknownIdle {
		w.idle = idle - t.idle
	}
	return w
}

// read reads the clocks. Idle time matters only if more threads may compute.
func (t *threads) read() (used, idle time.Duration) {
	idle = unknownIdle
	if u, ok := t.clocks.used(); ok {
		used = u.CPU + time.Duration(u.Faults)*faultTime
	}
	if t.governor.threads < t.governor.most {
		if d, ok := t.clocks.idle(); ok {
			idle = d
		}
	}
	return used, idle
}

// count books a computation of n threads.
func (t *threads) count(computed time.Duration, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.stats
	s.Time += computed
	if n < s.Most {
		s.Fewer += computed
	}
	if t.governor.threads < n {
		s.Lowered++
		s.Least = min(s.Least, t.governor.threads)
	}
}

// Stats returns the counters.
func (t *threads) Stats() ThreadStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
