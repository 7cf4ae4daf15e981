package tier

import (
	"time"

	"golang.org/x/sys/unix"
)

// slack is about how late the kernel wakes a thread.
const slack = 80 * time.Microsecond

// Sleep sleeps for a few milliseconds at most, precise to a microsecond. Go's timers may be late by
// a millisecond in a process that does nothing else, which is longer than a layer takes. The
// kernel's timers are late by less than a tenth of that, and for the rest of the time Sleep watches
// the clock.
func Sleep(d time.Duration) {
	end := time.Now().Add(d)
	if d > slack {
		t := unix.NsecToTimespec(int64(d - slack))
		_ = unix.Nanosleep(&t, nil) // a signal may end it early
	}
	for time.Until(end) > 0 {
	}
}
