package timing

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestShortestReturnsTheShortestRun(t *testing.T) {
	for _, tt := range []struct {
		name  string
		runs  int
		total time.Duration
		count int
		want  time.Duration
	}{
		{"a number of runs", 3, 0, 3, 1 * time.Second},
		{"a time", 1, 8 * time.Second, 3, 1 * time.Second}, // 5 + 2 + 1 s
		{"one run", 1, 0, 1, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := []time.Duration{5 * time.Second, 2 * time.Second, time.Second, 3 * time.Second}
				count := 0
				got, err := Shortest(tt.runs, tt.total, func() error {
					time.Sleep(took[count])
					count++
					return nil
				})
				if err != nil || got != tt.want || count != tt.count {
					t.Errorf("%v after %d runs, error %v; want %v after %d", got, count, err, tt.want, tt.count)
				}
			})
		})
	}
}

func TestShortestEndsWithTheErrorOfARun(t *testing.T) {
	want := errors.New("out of memory")
	runs := 0
	if _, err := Shortest(3, time.Hour, func() error { runs++; return want }); !errors.Is(err, want) || runs != 1 {
		t.Errorf("error %v after %d runs, want %v after 1", err, runs, want)
	}
}
