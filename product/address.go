package product

import (
	"sync"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/isa"
)

// operation is one of the operations that ggml's threads call.
type operation int

const (
	opQuantise operation = iota
	opNormQuantise
	opProduct
	opGateUp
	opGroup
	opExpertProduct
	opExpertGateUp
	opQuantiseGrouped
	opMix
	operations
)

// address returns the address of an operation for ggml's threads. The results of all instruction
// sets are the same bits.
func (p Products) address(op operation) uintptr {
	if p.set == isa.Go {
		return goOps()[op]
	}
	return vectorOps(p.set)[op]
}

// goOps returns the addresses for C of the operations in plain Go. They are made once, because
// callbacks are never freed.
var goOps = sync.OnceValue(func() (ops [operations]uintptr) {
	for op, f := range [operations]func(dst *tensor, thread, threads int){
		opQuantise: quantise, opNormQuantise: normQuantise, opProduct: product, opGateUp: gateUp,
		opGroup: groupPairs, opExpertProduct: expertProduct, opExpertGateUp: expertGateUp, opQuantiseGrouped: quantiseGrouped, opMix: mix,
	} {
		ops[op] = purego.NewCallback(func(dst *tensor, thread, threads int32, _ uintptr) uintptr {
			f(dst, int(thread), int(threads))
			return 0 // ggml takes no result; a callback on Windows must have one
		})
	}
	return ops
})
