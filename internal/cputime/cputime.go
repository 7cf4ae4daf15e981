// Package cputime reads how the processors' time is used: by this process, and
// by nobody. Where a system does not say, it reports that.
package cputime

import "time"

// Usage is what this process has used since it started.
type Usage struct {
	CPU    time.Duration // of all its threads
	Faults int64         // pages that threads waited for to come from a disk
}
