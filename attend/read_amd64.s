//go:build amd64 && !windows

#include "go_asm.h"
#include "textflag.h"

// opRead reads K and V and computes nothing. Benchmarks compare speeds with it: it is a plain read
// loop on ggml's threads. It is an op like those in entry_amd64.s.
TEXT ·opRead(SB), NOSPLIT|NOFRAME, $0-0
	MOVLQSX SI, SI
	MOVLQSX DX, R9
	MOVQ    tensor_src+8(DI), R8   // K
	MOVQ    tensor_src+16(DI), R10 // V
	VPXOR   Y0, Y0, Y0
	VPXOR   Y1, Y1, Y1
	VPXOR   Y2, Y2, Y2
	VPXOR   Y3, Y3, Y3

	// This thread's part, in 128 bytes.
tensor:
	MOVQ  tensor_nb+16(R8), AX
	IMULQ tensor_ne+16(R8), AX
	SHRQ  $7, AX
	XORL  DX, DX
	DIVQ  R9
	MOVQ  AX, CX
	IMULQ SI, AX
	SHLQ  $7, AX
	ADDQ  tensor_data(R8), AX
	TESTQ CX, CX
	JZ    done
loop:
	PREFETCHT0 1024(AX)
	PREFETCHT0 1088(AX)
	VPADDQ     (AX), Y0, Y0
	VPADDQ     32(AX), Y1, Y1
	VPADDQ     64(AX), Y2, Y2
	VPADDQ     96(AX), Y3, Y3
	ADDQ       $128, AX
	DECQ       CX
	JNZ        loop
done:
	CMPQ R8, R10
	MOVQ R10, R8
	JNE  tensor
	VZEROUPPER
	RET
