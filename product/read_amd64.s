//go:build amd64 && !windows

#include "go_asm.h"
#include "textflag.h"

// opRead reads weights and computes nothing. Benchmarks compare speeds with it: it is a plain read
// loop on ggml's threads. It is an operation like those in entry_amd64.s.
TEXT ·opRead(SB), NOSPLIT|NOFRAME, $0-0
	MOVLQSX SI, SI
	MOVLQSX DX, R9
	MOVQ    tensor_src+0(DI), R8

	// This thread's part, in 128 bytes.
	MOVQ  tensor_nb+8(R8), AX
	IMULQ tensor_ne+8(R8), AX
	SHRQ  $7, AX
	XORL  DX, DX
	DIVQ  R9
	MOVQ  AX, CX
	IMULQ SI, AX
	SHLQ  $7, AX
	ADDQ  tensor_data(R8), AX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	TESTQ CX, CX
	JZ    done
loop:
	PREFETCHT0 4096(AX)
	PREFETCHT0 4160(AX)
	VPADDQ     (AX), Y0, Y0
	VPADDQ     32(AX), Y1, Y1
	VPADDQ     64(AX), Y2, Y2
	VPADDQ     96(AX), Y3, Y3
	ADDQ       $128, AX
	DECQ       CX
	JNZ        loop
done:
	VZEROUPPER
	RET

// func readAddress() uintptr
TEXT ·readAddress(SB), NOSPLIT, $0-8
	LEAQ ·opRead(SB), AX
	MOVQ AX, ret+0(FP)
	RET
