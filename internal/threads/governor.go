package threads

import "time"

// governor decides how many threads compute. ggml's threads wait for each other after every
// operation, and they spin: when another program takes the core of one thread, all of them wait,
// and a step takes 3 to 180 times as long. With one thread fewer none has to wait.
//
// The governor lowers the number at once and raises it after a pause. The pause grows each time
// that raising turns out to be wrong. The governor reads no clock: it is told what happened.
type governor struct {
	most    int           // threads when no other program runs
	threads int           // that compute now
	pause   time.Duration // how long the number stays low before the governor tries to raise it
	steady  time.Duration // how long ago the number changed last
	raised  bool          // whether that change raised it
}

// window is a time in which a number of threads computed, with the gaps between computations.
type window struct {
	wall time.Duration // its length
	gaps time.Duration // of it, between computations
	want time.Duration // CPU time that the threads would have used if no other program had run
	used time.Duration // CPU time that the process used
	idle time.Duration // idle time of all processors together, or unknownIdle
}

// unknownIdle means that the system does not tell.
const unknownIdle time.Duration = -1

const (
	// leastWindow is the least length of a window. The CPU time of a running thread may lack one
	// tick of the clock, 4 to 10 ms, and idle time is known to 10 ms a processor. Bursts of other
	// programs that are shorter than half a window change nothing.
	leastWindow = 200 * time.Millisecond

	// leastPause and mostPause bound the pause. A wrong attempt costs one window: every 10 s, that
	// is 2 % of the time.
	leastPause = leastWindow
	mostPause  = 10 * time.Second
)

func newGovernor(threads int) governor {
	return governor{most: threads, threads: threads, pause: leastPause}
}

// contended returns how many cores other programs must have taken for one thread fewer to be
// faster. All threads wait for the one whose core was taken; without it the others do its share. On
// 2 cores one thread reaches 0.7 of the speed of two (SmolLM2 decode), so two threads may lose 0.3
// of the time. With many cores it is less certain how much the other programs take.
func (g *governor) contended() float64 { return max(0.15, 0.6/float64(g.most)) }

// spare returns how much of a core must be idle for one more thread. A fair scheduler gives the
// other programs on that core up to twice their earlier share.
func (g *governor) spare() float64 { return 1 - g.contended()/2 }

// next takes the window in which the present number of threads computed, and returns how many
// compute from now on.
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

// room returns for how many more threads the processors may have room.
func (g *governor) room(w window) int {
	if w.idle == unknownIdle {
		return (g.most - g.threads + 1) / 2 // try
	}
	own := time.Duration(g.threads) * w.gaps // in which our own threads left their cores idle
	return int((w.idle-own).Seconds()/w.wall.Seconds() + 1 - g.spare())
}

func (g *governor) change(threads int) {
	g.raised, g.steady, g.threads = threads > g.threads, 0, threads
}
