package tier_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tier"
)

const ms = time.Millisecond

// transfer is asked for at a time, when the one before has finished at the latest.
type transfer struct {
	wait      time.Duration // before it is given to the link, after the one before
	requested time.Duration // since the start
	bytes     int64
	copying   time.Duration // what the copy itself takes
}

// send returns when each transfer will have finished.
func send(t *testing.T, rate float64, transfers []transfer) []time.Duration {
	t.Helper()
	start := time.Now()
	l := tier.Link{Rate: rate}
	last := start
	var all []time.Duration
	for _, tr := range transfers {
		time.Sleep(time.Until(last) + tr.wait)
		copied := false
		began, done, err := l.Transfer(start.Add(tr.requested), tr.bytes, func() error {
			time.Sleep(tr.copying)
			copied = true
			return nil
		})
		if err != nil || !copied || done.Before(began) || began.Before(last) {
			t.Fatalf("error %v, copied %v, from %v to %v, behind one that ended at %v", err, copied, began, done, last)
		}
		last = done
		all = append(all, done.Sub(start))
	}
	return all
}

func TestLinkTakesBytesOverRate(t *testing.T) {
	tests := []struct {
		name      string
		rate      float64
		transfers []transfer
		want      []time.Duration
	}{
		{"no limit", 0, []transfer{{bytes: 1 << 40}}, []time.Duration{0}},
		{"one", 1000, []transfer{{bytes: 10}}, []time.Duration{10 * ms}},
		{"requested together, one after the other", 1000, []transfer{{bytes: 10}, {bytes: 5}, {bytes: 1}}, []time.Duration{10 * ms, 15 * ms, 16 * ms}},
		{"requested after an idle time", 1000, []transfer{{bytes: 10}, {wait: 20 * ms, requested: 30 * ms, bytes: 5}}, []time.Duration{10 * ms, 35 * ms}},
		{"noticed late, as if in time", 1000, []transfer{{bytes: 10}, {wait: 3 * ms, requested: 10 * ms, bytes: 5}}, []time.Duration{10 * ms, 15 * ms}},
		{"noticed too late, at once", 1000, []transfer{{bytes: 10}, {wait: 30 * ms, requested: 10 * ms, bytes: 5}}, []time.Duration{10 * ms, 40 * ms}},
		{"late wake-ups do not add up", 1000, []transfer{
			{bytes: 10},
			{wait: 1 * ms, requested: 10 * ms, bytes: 10},
			{wait: 1 * ms, requested: 20 * ms, bytes: 10},
			{wait: 1 * ms, requested: 30 * ms, bytes: 10},
		}, []time.Duration{10 * ms, 20 * ms, 30 * ms, 40 * ms}},
		{"the copy is part of the time", 1000, []transfer{{bytes: 10, copying: 4 * ms}}, []time.Duration{10 * ms}},
		{"the copy is longer", 1000, []transfer{{bytes: 10, copying: 14 * ms}}, []time.Duration{14 * ms}},
		{"behind a copy that was longer", 1000, []transfer{{bytes: 10, copying: 14 * ms}, {bytes: 5}}, []time.Duration{14 * ms, 15 * ms}},
		{"no bytes", 1000, []transfer{{bytes: 0}}, []time.Duration{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(send(t, tt.rate, tt.transfers), tt.want); diff != "" {
					t.Errorf("finished at (-got +want):\n%s", diff)
				}
			})
		})
	}
}

func TestLinkFailedCopyTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := tier.Link{Rate: 1000}
		broken := errors.New("broken")
		if _, _, err := l.Transfer(start, 10, func() error { return broken }); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		if began, _, err := l.Transfer(start, 10, func() error { return nil }); err != nil || !began.Equal(start) {
			t.Errorf("error %v, and the next transfer began after %v, want it at once", err, began.Sub(start))
		}
	})
}

func TestLinkIsOccupiedByWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := tier.Link{Rate: 1000}
		for _, tr := range []struct {
			bytes int64
			want  time.Duration
		}{{10, 10 * ms}, {1, 11 * ms}} {
			_, done, err := l.Transfer(time.Now(), tr.bytes, func() error { return nil })
			if err != nil || done.Sub(start) != tr.want {
				t.Errorf("%d bytes: error %v, there after %v; want %v", tr.bytes, err, done.Sub(start), tr.want)
			}
			time.Sleep(3 * ms)
		}
	})
}

func TestSleepIsNotTooShort(t *testing.T) {
	for _, d := range []time.Duration{-ms, 0, 10 * time.Microsecond, ms} {
		start := time.Now()
		tier.Sleep(d)
		if took := time.Since(start); took < d {
			t.Errorf("slept %v, want %v", took, d)
		}
	}
}
