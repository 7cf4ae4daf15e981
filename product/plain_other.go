//go:build !amd64 || windows

package product

import "github.com/seed4d217819/ebb/isa"

// plainOp returns the address of Plain for ggml's threads.
func plainOp(isa.ISA) uintptr { return goPlainOp() }
