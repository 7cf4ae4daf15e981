//go:build amd64 && !linux && !windows

package isa

// tiles reports that the system lets no process use the tiles' registers.
func tiles() bool { return false }
