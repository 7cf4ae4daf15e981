package product

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// hasPackWords reports whether this processor has what packWords needs, which is AVX2.
func hasPackWords() bool { return cpu.X86.HasAVX2 }

// packWords puts n words of each of 32 rows into a unit, as field.packWordsFrom does. n is a multiple of
// 4 above 0.
//
//go:noescape
func packWords(dst, src unsafe.Pointer, row, n int64, flip uint32)
