//go:build amd64 && !windows

package attend

import "golang.org/x/sys/cpu"

func vectorISAs() (isas []ISA) {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasF16C || !x.HasBMI1 || !x.HasBMI2 {
		return nil
	}
	isas = append(isas, AVX2)
	if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512BW {
		isas = append(isas, AVX512)
	}
	return isas
}

func vectorOp(i ISA) uintptr {
	avx2, avx512, _ := opAddresses()
	if i == AVX512 {
		return avx512
	}
	return avx2
}
