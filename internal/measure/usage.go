package measure

import (
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// Usage is the CPU time used so far, by this process and by all.
type Usage struct {
	own, all time.Duration
}

// ReadUsage reads the clocks. Where the system does not say what this process used, own is the time
// of day, which keeps [Settle] waiting; where the system does not say what all processes used, all
// is 0.
func ReadUsage() Usage {
	u := Usage{own: time.Duration(time.Now().UnixNano())}
	if used, ok := cputime.Process(); ok {
		u.own = used.CPU
	}
	if busy, ok := cputime.Busy(); ok {
		u.all = busy
	}
	return u
}

// OthersSince returns how many cores other processes used on average.
func (u Usage) OthersSince(before Usage, wall time.Duration) float64 {
	others := (u.all - before.all) - (u.own - before.own)
	// A difference of up to one tick in each of the two reads means nothing.
	if others <= 2*cputime.Tick || wall <= 0 {
		return 0
	}
	return others.Seconds() / wall.Seconds()
}
