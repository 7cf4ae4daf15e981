//go:build amd64 && !windows

package isa

import "golang.org/x/sys/cpu"

func vectors() (all []ISA) {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasF16C || !x.HasBMI1 || !x.HasBMI2 {
		return nil
	}
	all = append(all, AVX2)
	if x.HasAVXVNNI {
		all = append(all, AVXVNNI)
	}
	if !x.HasAVX512F || !x.HasAVX512DQ || !x.HasAVX512VL || !x.HasAVX512BW {
		return all
	}
	all = append(all, AVX512)
	if !x.HasAVX512VNNI {
		return all
	}
	all = append(all, VNNI)
	if x.HasAMXTile && x.HasAMXInt8 && x.HasAMXBF16 && tiles() {
		all = append(all, AMX)
	}
	return all
}
