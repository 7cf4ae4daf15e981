package threads

import (
	"sync"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// Watch watches how a CPU computes and asks its governor with how many threads
// to go on. Between two calls of Enter and Leave one computation runs.
type Watch struct {
	governor governor
	clocks   Clocks

	entered time.Time // when the computation began
	left    time.Time // when the one before ended
	began   time.Time // of the window, the end of a computation; zero before the first
	gaps    time.Duration
	want    time.Duration
	used    time.Duration // clocks.Used when the window began
	idle    time.Duration // clocks.Idle when the window began

	mu    sync.Mutex
	stats Stats
}

// Clocks are what threads reads.
type Clocks struct {
	Now  func() time.Time
	Used func() (cputime.Usage, bool)
	Idle func() (time.Duration, bool)
}

// Stats say with how many threads a CPU has computed.
type Stats struct {
	Most    int           // with which it computes when nothing else runs
	Least   int           // with which it has computed
	Lowered int           // how often it went on with fewer
	Time    time.Duration // computed
	Fewer   time.Duration // of it, with fewer than most
}

// New returns what watches n threads, and nil where the system does not
// tell how much CPU time a process uses.
func New(n int, c Clocks) *Watch {
	if _, ok := c.Used(); !ok {
		return nil
	}
	return &Watch{governor: newGovernor(n), clocks: c, stats: Stats{Most: n, Least: n}}
}

// SystemClocks are those of this machine.
func SystemClocks() Clocks {
	return Clocks{Now: time.Now, Used: cputime.Process, Idle: cputime.Idle}
}

// spinning is for how long threads surely spin after a computation before they
// sleep: ggml counts rounds, which take 10 ms on the fastest processors.
const spinning = 5 * time.Millisecond

// faultTime is how long a thread waits for a page of a file, roughly: it does
// not compute then, but no other program has taken its core.
const faultTime = time.Millisecond

func (t *Watch) Enter() {
	t.entered = t.clocks.Now()
	if t.began.IsZero() {
		t.begin(t.entered)
		return
	}
	gap := t.entered.Sub(t.left)
	t.gaps += gap
	t.want += min(gap, spinning) * time.Duration(t.governor.threads-1)
}

// Leave returns with how many threads the next computation should run.
func (t *Watch) Leave() int {
	now, n := t.clocks.Now(), t.governor.threads
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
func (t *Watch) begin(now time.Time) {
	t.began, t.left, t.gaps, t.want = now, now, 0, 0
	t.used, t.idle = t.read()
}

// end returns what was seen since begin.
func (t *Watch) end(now time.Time) window {
	used, idle := t.read()
	w := window{wall: now.Sub(t.began), gaps: t.gaps, want: t.want, used: used - t.used, idle: unknownIdle}
	if idle != unknownIdle && t.idle != unknownIdle {
		w.idle = idle - t.idle
	}
	return w
}

// read reads the clocks. Idle time matters only if more threads may compute.
func (t *Watch) read() (used, idle time.Duration) {
	idle = unknownIdle
	if u, ok := t.clocks.Used(); ok {
		used = u.CPU + time.Duration(u.Faults)*faultTime
	}
	if t.governor.threads < t.governor.most {
		if d, ok := t.clocks.Idle(); ok {
			idle = d
		}
	}
	return used, idle
}

// count books a computation of n threads.
func (t *Watch) count(computed time.Duration, n int) {
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
func (t *Watch) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
