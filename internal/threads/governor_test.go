package threads

import (
	"slices"
	"testing"
	"time"
)

// machine is a processor shared fairly by threads that never rest.
type machine struct {
	cores float64
	hides bool // idle time
}

// see returns what a window looks like in which some of our threads compute beside others.
func (m machine) see(threads int, others float64) window {
	const wall = leastWindow
	n := float64(threads)
	got := min(n, m.cores*n/(n+others))
	cores := func(n float64) time.Duration { return time.Duration(n * float64(wall)) }
	w := window{wall: wall, want: cores(n), used: cores(got), idle: cores(max(0, m.cores-n-others))}
	if m.hides {
		w.idle = unknownIdle
	}
	return w
}

// govern lets a governor see windows until a time has passed, and returns the numbers of threads it
// chose, each once.
func govern(g *governor, m machine, others float64, span time.Duration) (chosen []int) {
	for end := leastWindow; end <= span; end += leastWindow {
		chosen = append(chosen, g.next(m.see(g.threads, others)))
	}
	return slices.Compact(chosen)
}

func TestThreadsFollowWhatOthersLeave(t *testing.T) {
	for _, tt := range []struct {
		name    string
		threads int
		others  []float64 // cores that other programs want, for 3 s each
		want    [][]int
	}{
		{"alone", 2, []float64{0}, [][]int{{2}}},
		{"a little else", 2, []float64{0.1}, [][]int{{2}}},
		{"one busy program", 2, []float64{1}, [][]int{{1}}},
		{"one comes and goes", 2, []float64{0, 1, 0}, [][]int{{2}, {1}, {2}}},
		{"two busy programs", 2, []float64{2, 0}, [][]int{{1}, {2}}},
		{"more programs than cores", 4, []float64{9, 3, 0}, [][]int{{1}, {1}, {4}}},
		{"many cores lose one", 16, []float64{1, 0}, [][]int{{15}, {16}}},
		{"many cores lose four", 16, []float64{4, 0}, [][]int{{13, 12}, {16}}},
		{"others become fewer", 4, []float64{3, 1}, [][]int{{2, 1}, {3}}},
		{"one thread", 1, []float64{3}, [][]int{{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, m := newGovernor(tt.threads), machine{cores: float64(tt.threads)}
			for i, others := range tt.others {
				if got := govern(&g, m, others, 3*time.Second); !slices.Equal(got, tt.want[i]) {
					t.Errorf("beside %g cores of others: %v threads, want %v", others, got, tt.want[i])
				}
			}
		})
	}
}

func TestGoingDownTakesOneWindowAndGoingUpThePause(t *testing.T) {
	g, m := newGovernor(2), machine{cores: 2}
	if n := g.next(m.see(2, 1)); n != 1 {
		t.Fatalf("%d threads after the first window beside others, want 1", n)
	}
	var passed time.Duration
	for n := 1; n == 1; n = g.next(m.see(1, 0)) {
		passed += leastWindow
	}
	if passed != leastPause {
		t.Errorf("up again after %v, want %v", passed, leastPause)
	}
}

// Where idle time is not known, or says nothing because a control group takes the cores away, going
// up is an attempt.
func TestWrongAttemptsBecomeRare(t *testing.T) {
	for _, tt := range []struct {
		name string
		idle func(time.Duration) time.Duration // of a window
	}{
		{"idle time unknown", func(time.Duration) time.Duration { return unknownIdle }},
		{"idle cores that are not ours", func(wall time.Duration) time.Duration { return 2 * wall }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, m := newGovernor(2), machine{cores: 2}
			attempts, contended := 0, 0
			const windows = 2000
			for range windows {
				w := m.see(g.threads, 1)
				if g.threads == 2 {
					contended++
				}
				w.idle = tt.idle(w.wall)
				if before := g.threads; g.next(w) > before {
					attempts++
				}
			}
			// In 400 s: pauses of 0.2 s to 6.4 s, and then of 10 s.
			if want := 44; attempts < want-2 || attempts > want+2 {
				t.Errorf("%d attempts in %d windows, want about %d", attempts, windows, want)
			}
			if contended != attempts+1 {
				t.Errorf("%d windows with two threads, want one for each of %d attempts and the first", contended, attempts)
			}
			if g.pause != mostPause {
				t.Errorf("pause %v, want %v", g.pause, mostPause)
			}
			govern(&g, machine{cores: 2, hides: true}, 0, time.Minute)
			if g.threads != 2 {
				t.Errorf("%d threads a minute after the others ended, want 2", g.threads)
			}
			g.next(m.see(2, 1))
			if g.pause != leastPause {
				t.Errorf("pause %v once an attempt was right for long, want %v", g.pause, leastPause)
			}
		})
	}
}

func TestOwnRestIsNotRoomForMoreThreads(t *testing.T) {
	g := newGovernor(2)
	g.next(machine{cores: 2}.see(2, 1))
	for range 100 { // one core is others', the other ours, and we compute a tenth of the time
		w := window{
			wall: leastWindow, gaps: leastWindow * 9 / 10,
			want: leastWindow / 10, used: leastWindow / 10, idle: leastWindow * 9 / 10,
		}
		if n := g.next(w); n != 1 {
			t.Fatalf("%d threads, want 1", n)
		}
	}
}
