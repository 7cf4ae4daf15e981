//go:build !amd64 || windows

package roof

import "github.com/seed4d217819/ebb/isa"

// loopOf returns none: the kernels are for amd64.
func loopOf(isa.ISA) (loop, bool) { return loop{}, false }
