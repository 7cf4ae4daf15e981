//go:build !windows

package roof

import "github.com/seed4d217819/ebb/isa"

// madd multiplies with VPMADDUBSW, VPMADDWD and VPADDD, n times in 12 registers of 32 bytes.
func madd(n int)

// avxvnni multiplies with VPDPBUSD, n times in 12 registers of 32 bytes.
func avxvnni(n int)

// vnni multiplies with VPDPBUSD, n times in 12 registers of 64 bytes.
func vnni(n int)

// tiles multiplies with TDPBSSD, n times in 4 tiles of 16 rows of 64 bytes.
func tiles(n int)

// loopOf returns the loop of an instruction set.
func loopOf(set isa.ISA) (loop, bool) {
	switch set {
	case isa.AMX:
		return loop{tiles, 4 * 2 * 16 * 16 * 64}, true
	case isa.VNNI:
		return loop{vnni, 12 * 2 * 64}, true
	case isa.AVXVNNI:
		return loop{avxvnni, 12 * 2 * 32}, true
	case isa.AVX2, isa.AVX512:
		return loop{madd, 12 * 2 * 32}, true
	default:
		return loop{}, false
	}
}
