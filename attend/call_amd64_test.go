//go:build amd64 && !windows

package attend

import "github.com/seed4d217819/ebb/isa"

// call runs the op as one of some threads.
func call(set isa.ISA, dst *tensor, thread, threads int) {
	if set == isa.Go {
		reference(dst, thread, threads)
		return
	}
	callOp(vectorOp(set), dst, int32(thread), int32(threads))
}
