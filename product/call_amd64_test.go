//go:build amd64 && !windows

package product

import "github.com/seed4d217819/ebb/isa"

// call runs an operation as one of some threads.
func call(set isa.ISA, op operation, dst *tensor, thread, threads int) {
	if set == isa.Go {
		inGo[op](dst, thread, threads)
		return
	}
	callOp(vectorOps(set)[op], dst, int32(thread), int32(threads))
}
