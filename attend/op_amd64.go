//go:build amd64 && !windows

package attend

import "github.com/seed4d217819/ebb/isa"

func vectorOp(set isa.ISA) uintptr {
	avx2, avx512, _ := opAddresses()
	if set == isa.AVX512 {
		return avx512
	}
	return avx2
}
