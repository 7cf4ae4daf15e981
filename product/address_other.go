//go:build !amd64 || windows

package product

import "github.com/seed4d217819/ebb/isa"

// vectors reports whether there is machine code for an instruction set.
func vectors(isa.ISA) bool { return false }

func vectorOps(isa.ISA) [operations]uintptr { panic("product: no machine code") }
