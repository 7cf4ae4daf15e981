package attend

import (
	"sync"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/isa"
)

// kernelOp returns the address of the kernel's op for ggml's threads. The results of two instruction
// sets agree within float error.
func kernelOp(set isa.ISA) uintptr {
	if set == isa.Go {
		return goOp()
	}
	return vectorOp(set)
}

// goOp returns the address of reference for C. It is made once, because callbacks are never freed.
var goOp = sync.OnceValue(func() uintptr {
	return purego.NewCallback(func(dst *tensor, thread, threads int32, _ uintptr) uintptr {
		reference(dst, int(thread), int(threads))
		return 0 // ggml takes no result; a callback on Windows must have one
	})
})
