package ebb

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/cputime"
	"github.com/seed4d217819/ebb/kv"
)

// fakeClocks are moved by hand.
type fakeClocks struct {
	at    time.Time
	usage cputime.Usage
	idled time.Duration
}

func newFakeClocks() *fakeClocks { return &fakeClocks{at: time.Unix(1, 0)} }

func (f *fakeClocks) clocks() clocks {
	return clocks{
		now:  func() time.Time { return f.at },
		used: func() (cputime.Usage, bool) { return f.usage, true },
		idle: func() (time.Duration, bool) { return f.idled, true },
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
		threads := newThreads(2, f.clocks())
		got := 2
		for range 20 {
			threads.enter()
			f.pass(tt.compute, tt.inside)
			f.usage.Faults += tt.faults
			if got = threads.leave(); got != 2 {
				break
			}
			f.pass(tt.gap, tt.aside)
		}
		if got != tt.want {
			t.Errorf("%s: %d threads, want %d", tt.name, got, tt.want)
		}
	}
}

func TestThreadStatsCountWhatFewerThreadsComputed(t *testing.T) {
	f := newFakeClocks()
	threads := newThreads(2, f.clocks())
	compute := func(n int, wall time.Duration, taken float64) {
		t.Helper()
		if got := threads.governor.threads; got != n {
			t.Fatalf("%d threads, want %d", got, n)
		}
		threads.enter()
		f.pass(wall, time.Duration((float64(n)-taken)*float64(wall)))
		threads.leave()
	}
	compute(2, time.Second, 0)
	compute(2, time.Second, 0.5) // held up
	compute(1, 3*time.Second, 0) // the other core is not idle
	f.idled += time.Second
	compute(1, time.Second, 0)   // it is
	compute(2, time.Second, 0.5) // held up again, at once
	compute(1, time.Second, 0)
	want := ThreadStats{Most: 2, Least: 1, Lowered: 2, Time: 8 * time.Second, Fewer: 5 * time.Second}
	if got := threads.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestThreadsAreLeftAloneWhereNothingIsKnown(t *testing.T) {
	unknown := clocks{used: func() (cputime.Usage, bool) { return cputime.Usage{}, false }}
	if newThreads(2, unknown) != nil {
		t.Error("threads are watched on a system that does not say how much CPU time they use")
	}
}

func TestFewerThreadsGoOnWithTheSameLogits(t *testing.T) {
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := library.Device("cpu"); err != nil {
		t.Fatal(err)
	}
	// decode returns the logits of each step, and what tells its threads that in every other six steps no core is left
	// to them.
	decode := func(threads int, watch bool) (logits [][]float32, numbers map[int]bool) {
		e, err := Open("testdata/models/tiny-gqa.gguf", Options{KVType: "f32", Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		seq, d, f, shared := e.NewSeq(), e.devices.all[0], newFakeClocks(), false
		if watch {
			c := f.clocks()
			c.now = func() time.Time {
				if shared {
					f.pass(10*time.Millisecond, 0)
				} else {
					f.pass(10*time.Millisecond, 20*time.Millisecond)
					f.idled += 20 * time.Millisecond
				}
				return f.at
			}
			d.threads = newThreads(threads, c)
		}
		numbers = map[int]bool{}
		for i := range 24 {
			shared = i/6%2 == 1
			out, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: []int32{int32(i)}, Logits: 1}})
			if err != nil {
				t.Fatal(err)
			}
			logits = append(logits, out[0][0])
			numbers[d.backend.Threads()] = true
		}
		if s := e.Stats().Devices[0].Threads; watch && s.Lowered != 2 {
			t.Errorf("got %+v, want to go down 2 times", s)
		}
		return logits, numbers
	}
	want, _ := decode(1, false)
	got, numbers := decode(2, true)
	if !numbers[1] || !numbers[2] {
		t.Errorf("computed with %v threads, want 1 and 2 by turns", numbers)
	}
	for i := range want {
		for j := range want[i] {
			// Sums in another order: the bound of the other tests, for logits of about 1.
			if d := math.Abs(float64(got[i][j] - want[i][j])); d > 1e-4 {
				t.Fatalf("step %d: logit %d is %g, and %g with one thread", i, j, got[i][j], want[i][j])
			}
		}
	}
}
