package threads

import "time"

// governor decides how many threads compute. ggml's threads wait for each other
// after every operation, and they spin: when another program takes the core of
// one, all are held up, and a step takes 3 to 180 times as long. With a thread
// less nobody is held up.
//
// It goes down at once and up again after a pause, and the pause grows while
// going up turns out to be wrong. It is told what was seen and reads nothing
// itself.
type governor struct {
	most    int           // threads, when nothing else runs
	threads int           // now
	pause   time.Duration // for how long it stays down before it tries to go up
	steady  time.Duration // how long ago the number last changed
	raised  bool          // and it was raised then
}

// window is what was seen while some threads computed, and between their
// computations.
type window struct {
	wall time.Duration // how long it was
	gaps time.Duration // of it, between computations
	want time.Duration // CPU time the threads would have used had nothing else run
	used time.Duration // CPU time that the process used
	idle time.Duration // time of all processors in which they had nothing to do; unknownIdle
}

// unknownIdle says that the system does not tell.
const unknownIdle time.Duration = -1

const (
	// leastWindow is how long a window is. Of what a running thread has used a
	// clock's tick, 4 to 10 ms, may be missing, and idle time is known to 10 ms a
	// processor. Bursts that are shorter than half of it change nothing.
	leastWindow = 200 * time.Millisecond

	// leastPause and mostPause bound the pause. A wrong attempt costs a window:
	// every 10 s it is 2 % of the time.
	leastPause = leastWindow
	mostPause  = 10 * time.Second
)

func newGovernor(threads int) governor {
	return governor{most: threads, threads: threads, pause: leastPause}
}

// contended is how many cores others must have taken for a thread less to be
// faster. All threads wait for the one whose core was taken, and without it the
// others do its share: on 2 cores a thread alone reaches 0.7 of the speed of two
// (SmolLM2 decode), so that they may lose 0.3 of the time. What others take of
// many cores is not known so well.
func (g *governor) contended() float64 { return max(0.15, 0.6/float64(g.most)) }

// spare is how much of a core must be idle for one thread more. Fair schedulers
// give what else wants to run there up to twice its share of before.
func (g *governor) spare() float64 { return 1 - g.contended()/2 }

// next takes what was seen with the threads so far, and returns how many compute
// from now on.
func (g *governor) next(w window) int {
	g.steady += w.wall
	switch lost := (w.want - w.used).Seconds() / w.wall.Seconds(); { // cores
	case g.threads > 1 && lost >= g.contended():
		switch {
		case g.raised && g.steady < 2*g.pause:
			g.pause = min(2*g.pause, mostPause)
		case g.raised:
			g.pause = leastPause
		}
		g.change(max(1, g.threads-max(1, int(lost+0.5))))
	case g.threads < g.most && g.steady >= g.pause:
		if more := g.room(w); more > 0 {
			g.change(min(g.most, g.threads+more))
		}
	}
	return g.threads
}

// room returns how many more threads the processors may have room for.
func (g *governor) room(w window) int {
	if w.idle == unknownIdle {
		return (g.most - g.threads + 1) / 2 // try
	}
	own := time.Duration(g.threads) * w.gaps // in which our threads left their cores idle
	return int((w.idle-own).Seconds()/w.wall.Seconds() + 1 - g.spare())
}

func (g *governor) change(threads int) {
	g.raised, g.steady, g.threads = threads > g.threads, 0, threads
}
