//go:build !amd64 || windows

package product

import "github.com/seed4d217819/ebb/isa"

// call runs an operation as one of some threads.
func call(_ isa.ISA, op operation, dst *tensor, thread, threads int) { inGo[op](dst, thread, threads) }
