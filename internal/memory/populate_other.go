//go:build !linux

package memory

// populate does nothing on this system.
func populate(_, _ uintptr) {}
