package threads

import (
	"testing"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// fakeClocks are moved by hand.
type fakeClocks struct {
	at    time.Time
	usage cputime.Usage
	idled time.Duration
}

func newFakeClocks() *fakeClocks { return &fakeClocks{at: time.Unix(1, 0)} }

func (f *fakeClocks) clocks() Clocks {
	return Clocks{
		Now:  func() time.Time { return f.at },
		Used: func() (cputime.Usage, bool) { return f.usage, true },
		Idle: func() (time.Duration, bool) { return f.idled, true },
	}
}

// pass moves the clocks on.
func (f *fakeClocks) pass(wall, used time.Duration) {
	f.at = f.at.Add(wall)
	f.usage.CPU += used
}

func TestThreadsAreHeldUpOnlyWhereTheyCompute(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name          string
		compute, gap  time.Duration // one of many
		inside, aside time.Duration // CPU time used meanwhile, of two threads
		faults        int64
		want          int
	}{
		{name: "alone", compute: 10 * ms, gap: ms, inside: 20 * ms, aside: 2 * ms, want: 2},
		{name: "one computation is long", compute: 900 * ms, inside: 1800 * ms, want: 2},
		{name: "a core is shared", compute: 10 * ms, gap: ms, inside: 15 * ms, aside: ms, want: 1},
		{name: "a core is shared in one long computation", compute: 900 * ms, inside: 1350 * ms, want: 1},
		{name: "little is taken", compute: 10 * ms, gap: ms, inside: 18 * ms, aside: 2 * ms, want: 2},
		{name: "the next step comes late, and threads spin", compute: 10 * ms, gap: 50 * ms, inside: 20 * ms, aside: 50 * ms, want: 2},
		{name: "the next step comes late, and threads sleep", compute: 10 * ms, gap: 50 * ms, inside: 20 * ms, aside: 5 * ms, want: 2},
		{name: "weights come from disk", compute: 10 * ms, inside: 14 * ms, faults: 6, want: 2},
	} {
		f := newFakeClocks()
		threads := New(2, f.clocks())
		got := 2
		for range 20 {
			threads.Enter()
			f.pass(tt.compute, tt.inside)
			f.usage.Faults += tt.faults
			if got = threads.Leave(); got != 2 {
				break
			}
			f.pass(tt.gap, tt.aside)
		}
		if got != tt.want {
			t.Errorf("%s: %d threads, want %d", tt.name, got, tt.want)
		}
	}
}

func TestStatsCountWhatFewerThreadsComputed(t *testing.T) {
	f := newFakeClocks()
	threads := New(2, f.clocks())
	compute := func(n int, wall time.Duration, taken float64) {
		t.Helper()
		if got := threads.governor.threads; got != n {
			t.Fatalf("%d threads, want %d", got, n)
		}
		threads.Enter()
		f.pass(wall, time.Duration((float64(n)-taken)*float64(wall)))
		threads.Leave()
	}
	compute(2, time.Second, 0)
	compute(2, time.Second, 0.5) // held up
	compute(1, 3*time.Second, 0) // the other core is not idle
	f.idled += time.Second
	compute(1, time.Second, 0)   // it is
	compute(2, time.Second, 0.5) // held up again, at once
	compute(1, time.Second, 0)
	want := Stats{Most: 2, Least: 1, Lowered: 2, Time: 8 * time.Second, Fewer: 5 * time.Second}
	if got := threads.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestThreadsAreLeftAloneWhereNothingIsKnown(t *testing.T) {
	unknown := Clocks{Used: func() (cputime.Usage, bool) { return cputime.Usage{}, false }}
	if New(2, unknown) != nil {
		t.Error("threads are watched on a system that does not say how much CPU time they use")
	}
}
