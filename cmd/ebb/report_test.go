package main

import (
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
)

func TestReportSaysForHowLongFewerThreadsComputed(t *testing.T) {
	s := ebb.ThreadStats{Most: 16, Least: 13, Lowered: 2, Time: 10 * time.Second, Fewer: 8 * time.Second}
	if got, want := describeThreads(s), "down to 13 of 16 for 80% of the time: other programs use the cores"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
