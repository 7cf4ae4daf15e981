//go:build !amd64 || windows

package isa

// vectors returns none: the kernels are assembly for amd64 that follows the System V calling
// convention.
func vectors() []ISA { return nil }
