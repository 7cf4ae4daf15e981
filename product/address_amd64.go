//go:build amd64 && !windows

package product

import "github.com/seed4d217819/ebb/isa"

// vectors reports whether there is machine code for an instruction set.
func vectors(set isa.ISA) bool { return set >= isa.AVX2 }

// amxTokens is from how many tokens on products are AMX's: from there on they are faster than VNNI's.
const amxTokens = 7

func vectorOps(set isa.ISA) (ops [operations]uintptr) {
	addresses, ofExperts := avx2Addresses, avx2ExpertAddresses // also with AVX-512 alone, which adds nothing to products of bytes
	switch {
	case set >= isa.VNNI:
		addresses, ofExperts = vnniAddresses, vnniExpertAddresses
	case set == isa.AVXVNNI:
		addresses, ofExperts = avxVNNIAddresses, avxVNNIExpertAddresses
	}
	ops[opQuantise], ops[opNormQuantise], ops[opProduct], ops[opGateUp] = addresses()
	if set >= isa.AMX {
		ops[opProduct], ops[opGateUp] = amxAddresses()
	}
	ops[opExpertProduct], ops[opExpertGateUp], ops[opQuantiseGrouped] = ofExperts()
	if set >= isa.AMX {
		ops[opExpertProduct], ops[opExpertGateUp] = amxExpertAddresses()
	}
	ops[opGroup], ops[opMix] = pairAddresses()
	return ops
}
