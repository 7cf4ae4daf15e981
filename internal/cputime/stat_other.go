//go:build !linux

package cputime

import "time"

// Idle is not known on this system.
func Idle() (idle time.Duration, ok bool) { return 0, false }

// Busy is not known on this system.
func Busy() (busy time.Duration, ok bool) { return 0, false }
