//go:build amd64 && !windows

package attend

import "github.com/seed4d217819/ebb/isa"

func vectorOp(set isa.ISA) uintptr {
	avx2, avx512, tiles, _ := opAddresses()
	switch set {
	case isa.AMX:
		return tiles
	case isa.AVX512:
		return avx512
	default:
		return avx2
	}
}
