//go:build unix

package cputime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Process returns what this process has used. For threads that are running, the last few
// milliseconds (a tick of the system's clock) may be missing.
func Process() (u Usage, ok bool) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return Usage{}, false
	}
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return Usage{CPU: cpu, Faults: int64(r.Majflt)}, true //nolint:unconvert // 32 bits wide on some systems
}
