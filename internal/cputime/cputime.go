// Package cputime reads how the processors' time is used: by this process, by all processes, and by
// none. Each function reports whether the system tells.
package cputime

import "time"

// Usage is what this process has used since it started.
type Usage struct {
	CPU    time.Duration // of all its threads
	Faults int64         // pages that threads waited for to come from a disk
}

// Tick is the unit in which Linux counts: USER_HZ is 100 on every architecture.
const Tick = 10 * time.Millisecond
