package exec

import (
	"math"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
	"github.com/seed4d217819/ebb/internal/threads"
	"github.com/seed4d217819/ebb/kv"
)

func TestFewerThreadsGoOnWithTheSameLogits(t *testing.T) {
	// decode returns the logits of each step, and what tells its threads that in every other six
	// steps no core is left to them.
	decode := func(n int, watch bool) (logits [][]float32, numbers map[int]bool) {
		e := setting{devices: cpu, kvType: "f32", Options: Options{Threads: n}}.mustOpen(t)
		seq, d, shared := e.pool.NewSeq(), e.devices.all[0], false
		if watch {
			at, used, idle := time.Unix(1, 0), time.Duration(0), time.Duration(0)
			clocks := threads.Clocks{
				Now: func() time.Time {
					at = at.Add(10 * time.Millisecond)
					if !shared {
						used += 20 * time.Millisecond
						idle += 20 * time.Millisecond
					}
					return at
				},
				Used: func() (cputime.Usage, bool) { return cputime.Usage{CPU: used}, true },
				Idle: func() (time.Duration, bool) { return idle, true },
			}
			d.threads = threads.New(n, clocks)
		}
		numbers = map[int]bool{}
		for i := range 24 {
			shared = i/6%2 == 1
			out, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: []int32{int32(i)}, Logits: 1}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			logits = append(logits, out[0][0])
			numbers[d.backend.Threads()] = true
		}
		if s := e.Stats()[0].Threads; watch && s.Lowered != 2 {
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
