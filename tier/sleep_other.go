//go:build !linux

package tier

import "time"

// Sleep sleeps for a few milliseconds at most.
func Sleep(d time.Duration) { time.Sleep(d) }
