//go:build amd64 && !windows

package product

import "github.com/seed4d217819/ebb/isa"

// plainOp returns the address of Plain for ggml's threads.
func plainOp(set isa.ISA) uintptr {
	avx2, avx512 := plainAddresses()
	switch {
	case set == isa.Go:
		return goPlainOp()
	case set >= isa.AVX512:
		return avx512
	default:
		return avx2
	}
}

// plainAddresses returns where opPlainAVX2 and opPlainAVX512 are, which ggml's threads call.
//
//go:noescape
func plainAddresses() (avx2, avx512 uintptr)

//go:noescape
func opPlainAVX2()

//go:noescape
func opPlainAVX512()
