package tier_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tier"
)

const ms = time.Millisecond

// transfer is asked for at a time, when the one before has finished at the
// latest.
type transfer struct {
	wait      time.Duration // before it is paced
	requested time.Duration // since the start
	bytes     int64
	copying   time.Duration // what the copy itself takes
}

// pace returns when each transfer had finished.
func pace(t *testing.T, rate float64, transfers []transfer) []time.Duration {
	t.Helper()
	began := time.Now()
	l := tier.Link{Rate: rate}
	var done []time.Duration
	for _, tr := range transfers {
		time.Sleep(tr.wait)
		copied := false
		err := l.Pace(t.Context(), began.Add(tr.requested), tr.bytes, func() error {
			time.Sleep(tr.copying)
			copied = true
			return nil
		})
		if err != nil || !copied {
			t.Fatalf("pace: error %v, copied %v", err, copied)
		}
		done = append(done, time.Since(began))
	}
	return done
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
		{"no bytes", 1000, []transfer{{bytes: 0}}, []time.Duration{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(pace(t, tt.rate, tt.transfers), tt.want); diff != "" {
					t.Errorf("finished at (-got +want):\n%s", diff)
				}
			})
		})
	}
}

func TestLinkCancelledEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(3*ms, cancel)
		l := tier.Link{Rate: 1000}
		err := l.Pace(ctx, began, 10, func() error { return nil })
		if !errors.Is(err, context.Canceled) || time.Since(began) != 3*ms {
			t.Errorf("%v after %v; want %v after %v", err, time.Since(began), context.Canceled, 3*ms)
		}
		// what was on its way still occupies the link
		if err := l.Pace(t.Context(), time.Now(), 1, func() error { return nil }); err != nil || time.Since(began) != 11*ms {
			t.Errorf("the next transfer: %v after %v; want it after %v", err, time.Since(began), 11*ms)
		}
	})
}

func TestLinkFailedCopyTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := tier.Link{Rate: 1000}
		broken := errors.New("broken")
		if err := l.Pace(t.Context(), began, 10, func() error { return broken }); !errors.Is(err, broken) || time.Since(began) != 0 {
			t.Errorf("%v after %v; want %v at once", err, time.Since(began), broken)
		}
	})
}
