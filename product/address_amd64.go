//go:build amd64 && !windows

package product

import "github.com/seed4d217819/ebb/isa"

// vectors reports whether there is machine code for an instruction set.
func vectors(set isa.ISA) bool { return set >= isa.VNNI }

func vectorOps(isa.ISA) (ops [operations]uintptr) {
	ops[opQuantise], ops[opNormQuantise], ops[opProduct], ops[opGateUp] = vnniAddresses()
	return ops
}
