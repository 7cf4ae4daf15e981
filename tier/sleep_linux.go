package tier

import (
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel wakes a thread, about.
const slack = 80 * time.Microsecond

// Sleep sleeps for a few milliseconds at most, and to the microsecond. Go's timers
// may be late by a millisecond in a process that does nothing else, longer than a
// layer takes; the kernel's by less than a tenth of that, and for the rest of the
// time Sleep looks at the clock.
func Sleep(d time.Duration) {
	end := time.Now().Add(d)
	if d > slack {
		t := unix.NsecToTimespec(int64(d - slack))
		_ = unix.Nanosleep(&t, nil) // a signal may end it early
	}
	for time.Until(end) > 0 {
	}
}
