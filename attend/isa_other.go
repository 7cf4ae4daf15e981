//go:build !amd64 || windows

package attend

// vectorISAs returns none: the kernel is assembly for amd64 that follows the System V calling
// convention.
func vectorISAs() []ISA { return nil }

func vectorOp(ISA) uintptr { panic("attend: no kernel") }
