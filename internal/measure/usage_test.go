package measure

import (
	"testing"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

func TestOthersAreWhatThisProcessDidNotUse(t *testing.T) {
	before := Usage{own: time.Second, all: 10 * time.Second}
	for _, tt := range []struct {
		name  string
		after Usage
		want  float64
	}{
		{"one core", Usage{own: 2 * time.Second, all: 12 * time.Second}, 1},
		{"none", Usage{own: 2 * time.Second, all: 11 * time.Second}, 0},
		{"less than the clock can tell", Usage{own: 2 * time.Second, all: 11*time.Second + 2*cputime.Tick}, 0},
		{"a system without the clock", Usage{own: 2 * time.Second}, 0},
	} {
		if got := tt.after.OthersSince(before, time.Second); got != tt.want {
			t.Errorf("%s: %v cores, want %v", tt.name, got, tt.want)
		}
	}
}
