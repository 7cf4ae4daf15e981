//go:build !linux

package memory

// useHugePages does nothing on this system.
func useHugePages(_, _ uintptr) {}
