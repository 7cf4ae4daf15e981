// Package threads decides how many CPU threads compute. Other programs may take the cores, and
// threads that wait for each other by spinning are slowed down far more than by their share.
package threads

import (
	"sync"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// Watch observes how a CPU computes and asks its governor how many threads the next computation
// should have. One computation runs between Enter and Leave; one goroutine calls them.
type Watch struct {
	governor governor
	clocks   Clocks

	entered time.Time     // when the current computation began
	left    time.Time     // when the previous computation ended
	began   time.Time     // when the window began, at the end of a computation; zero before the first one
	gaps    time.Duration // between computations of the window
	want    time.Duration // CPU time that the threads would have used alone
	used    time.Duration // clocks.Used when the window began
	idle    time.Duration // clocks.Idle when the window began

	mu    sync.Mutex
	stats Stats
}

// Clocks are the times that a Watch reads. The second result is false where the system does not
// tell.
type Clocks struct {
	Now  func() time.Time
	Used func() (cputime.Usage, bool) // CPU time of this process
	Idle func() (time.Duration, bool) // idle time of all processors together
}

// Stats say how many threads a CPU has computed with.
type Stats struct {
	Most    int           // threads when no other program runs
	Least   int           // fewest threads so far
	Lowered int           // how often the number was lowered
	Time    time.Duration // spent computing
	Fewer   time.Duration // of Time, with fewer threads than Most
}

// New returns a Watch of n threads, or nil where the system does not tell how much CPU time a
// process uses.
func New(n int, c Clocks) *Watch {
	if _, ok := c.Used(); !ok {
		return nil
	}
	return &Watch{governor: newGovernor(n), clocks: c, stats: Stats{Most: n, Least: n}}
}

// SystemClocks returns the clocks of this machine.
func SystemClocks() Clocks {
	return Clocks{Now: time.Now, Used: cputime.Process, Idle: cputime.Idle}
}

// spinning is how long threads spin at least after a computation before they sleep: ggml counts
// rounds, which take 10 ms on the fastest processors.
const spinning = 5 * time.Millisecond

// faultTime is roughly how long a thread waits for a page of a file. It does not compute during
// that time, but no other program has taken its core.
const faultTime = time.Millisecond

// Enter begins a computation.
func (w *Watch) Enter() {
	w.entered = w.clocks.Now()
	if w.began.IsZero() {
		w.begin(w.entered)
		return
	}
	gap := w.entered.Sub(w.left)
	w.gaps += gap
	w.want += min(gap, spinning) * time.Duration(w.governor.threads-1)
}

// Leave ends the computation and returns how many threads the next one should have.
func (w *Watch) Leave() int {
	now, n := w.clocks.Now(), w.governor.threads
	computed := now.Sub(w.entered)
	w.left = now
	w.want += computed * time.Duration(n)
	if now.Sub(w.began) >= leastWindow {
		w.governor.next(w.end(now))
		w.begin(now)
	}
	w.count(computed, n)
	return w.governor.threads
}

// begin starts a window.
func (w *Watch) begin(now time.Time) {
	w.began, w.left, w.gaps, w.want = now, now, 0, 0
	w.used, w.idle = w.read()
}

// end returns the window that began at begin.
func (w *Watch) end(now time.Time) window {
	used, idle := w.read()
	seen := window{wall: now.Sub(w.began), gaps: w.gaps, want: w.want, used: used - w.used, idle: unknownIdle}
	if idle != unknownIdle && w.idle != unknownIdle {
		seen.idle = idle - w.idle
	}
	return seen
}

// read reads the clocks. Idle time is read only if more threads may compute.
func (w *Watch) read() (used, idle time.Duration) {
	idle = unknownIdle
	if u, ok := w.clocks.Used(); ok {
		used = u.CPU + time.Duration(u.Faults)*faultTime
	}
	if w.governor.threads < w.governor.most {
		if d, ok := w.clocks.Idle(); ok {
			idle = d
		}
	}
	return used, idle
}

// count adds a computation of n threads to the stats.
func (w *Watch) count(computed time.Duration, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.stats
	s.Time += computed
	if n < s.Most {
		s.Fewer += computed
	}
	if w.governor.threads < n {
		s.Lowered++
		s.Least = min(s.Least, w.governor.threads)
	}
}

// Stats returns the counters.
func (w *Watch) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}
