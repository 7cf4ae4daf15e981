package measure

import (
	"testing"
	"time"
)

func TestBusyTimeLeavesIdlenessOut(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	const stat = "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	want := 171 * tick // guests are counted as user already
	if got := busyTime([]byte(stat)); got != want {
		t.Errorf("busy %v: want %v", got, want)
	}
}

func TestOthersAreWhatThisProcessDidNotUse(t *testing.T) {
	before := Usage{own: time.Second, all: 10 * time.Second}
	for _, tt := range []struct {
		name  string
		after Usage
		want  float64
	}{
		{"one core", Usage{own: 2 * time.Second, all: 12 * time.Second}, 1},
		{"none", Usage{own: 2 * time.Second, all: 11 * time.Second}, 0},
		{"less than the clock can tell", Usage{own: 2 * time.Second, all: 11*time.Second + 2*tick}, 0},
		{"a system without the clock", Usage{own: 2 * time.Second}, 0},
	} {
		if got := tt.after.OthersSince(before, time.Second); got != tt.want {
			t.Errorf("%s: %v cores, want %v", tt.name, got, tt.want)
		}
	}
}
