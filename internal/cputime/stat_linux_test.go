package cputime

import (
	"testing"
	"time"
)

func TestIdleCountsTheProcessorsThatMayBeUsed(t *testing.T) {
	const stat = "cpu  9 9 9 600 60 9 9 9 0 0\n" +
		"cpu0 1 2 3 100 10 6 7 8 0 0\n" +
		"cpu1 1 2 3 200 20 6 7 8 0 0\n" +
		"cpu12 1 2 3 300 30 6 7 8 0 0\n" +
		"intr 1 2 3 4 5 6 7 8\n" +
		"ctxt 1990473\n"
	for _, tt := range []struct {
		name   string
		stat   string
		counts []bool
		want   time.Duration
		ok     bool
	}{
		{"all", stat, []bool{0: true, 1: true, 12: true}, 6600 * time.Millisecond, true},
		{"two", stat, []bool{0: true, 12: true}, 4400 * time.Millisecond, true},
		{"none", stat, []bool{2: true}, 0, false},
		{"nothing to read", "", []bool{true}, 0, false},
		{"short lines", "cpu0 1 2 3 4\n", []bool{true}, 0, false},
		{"no number", "cpu0 1 2 3 x 5 6\n", []bool{true}, 0, false},
	} {
		got, ok := idleTime([]byte(tt.stat), func(cpu int) bool { return cpu < len(tt.counts) && tt.counts[cpu] })
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %v %v, want %v %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestIdleNeverRunsBackwards(t *testing.T) {
	before, ok := Idle()
	if !ok {
		t.Fatal("the idle time is unknown: /proc/stat names no processor that this process may use")
	}
	if after, _ := Idle(); after < before {
		t.Errorf("%v idle, and %v before", after, before)
	}
}

func TestBusyTimeLeavesIdlenessOut(t *testing.T) {
	for _, tt := range []struct {
		name, stat string
		want       time.Duration
		ok         bool
	}{
		// user nice system idle iowait irq softirq steal guest guest_nice; guests are counted as
		// user already
		{"all columns", "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n", 171 * Tick, true},
		{"an old system", "cpu  100 20 30 4000 500\n", 150 * Tick, true},
		{"short", "cpu  100 20 30\n", 150 * Tick, false},
		{"nothing", "", 0, false},
		{"another file", "cpu0 100 20 30 4000 500 6 7 8\n", 0, false},
		{"no number", "cpu  100 x 30 4000 500 6 7 8\n", 100 * Tick, false},
	} {
		if got, ok := busyTime([]byte(tt.stat)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %v %v, want %v %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestBusyTimeGrowsWithWork(t *testing.T) {
	before, ok := Busy()
	if !ok {
		t.Fatal("the busy time is unknown: /proc/stat does not begin with all processors")
	}
	for n := 0; ; n++ { // ends as soon as a tick has passed
		if after, _ := Busy(); after > before {
			return
		}
	}
}
