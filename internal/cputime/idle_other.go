//go:build !linux

package cputime

import "time"

// Idle is not known here.
func Idle() (idle time.Duration, ok bool) { return 0, false }
