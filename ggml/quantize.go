package ggml

import (
	"fmt"
	"slices"
	"unsafe"
)

// Quantize converts rows of rowLen numbers to type t, as ggml itself does, with all columns of the
// same importance. It loads the library.
func Quantize(t Type, src []float32, rowLen int64) ([]byte, error) {
	if _, err := Load(); err != nil {
		return nil, err
	}
	if !t.float() && !t.Quantized() {
		return nil, fmt.Errorf("ggml: quantize: cannot convert to %s", t)
	}
	if rowLen <= 0 || rowLen%t.BlockSize() != 0 || int64(len(src))%rowLen != 0 {
		return nil, fmt.Errorf("ggml: quantize to %s: %d numbers in rows of %d; rows must be whole and a multiple of %d",
			t, len(src), rowLen, t.BlockSize())
	}
	if len(src) == 0 {
		return nil, nil
	}
	rows := int64(len(src)) / rowLen
	dst := make([]byte, rows*t.RowSize(rowLen))
	var importance *float32 // of the columns
	if c.RequiresImportance(t) {
		all := slices.Repeat([]float32{1}, int(rowLen))
		importance = &all[0]
	}
	n := call(c.QuantizeChunk, uintptr(t), uintptr(unsafe.Pointer(&src[0])), uintptr(unsafe.Pointer(&dst[0])),
		0, uintptr(rows), uintptr(rowLen), uintptr(unsafe.Pointer(importance)))
	if int(n) != len(dst) {
		return nil, fmt.Errorf("ggml: quantize to %s: wrote %d bytes, want %d", t, n, len(dst))
	}
	return dst, nil
}

// Dequantize converts n numbers of type t to float32, as ggml itself does. The library must be
// loaded. It panics if src is too short, or n is not a multiple of the block size.
func Dequantize(t Type, src []byte, n int) []float32 {
	if !t.float() && !t.Quantized() {
		misuse("Dequantize", fmt.Sprintf("cannot convert %s", t))
	}
	if need := t.RowSize(int64(n)); int64(len(src)) < need {
		misuse("Dequantize", fmt.Sprintf("%d bytes of %s do not hold %d numbers, which take %d", len(src), t, n, need))
	}
	dst := make([]float32, n)
	if n == 0 {
		return dst
	}
	if t == F32 {
		copy(bytesOf(dst), src)
		return dst
	}
	call(c.TypeTraits(t).toFloat, uintptr(unsafe.Pointer(&src[0])), uintptr(unsafe.Pointer(&dst[0])), uintptr(n), 0, 0, 0, 0)
	return dst
}
