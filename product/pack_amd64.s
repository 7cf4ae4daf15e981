#include "textflag.h"

// func packWords(dst, src unsafe.Pointer, row, n int64, flip uint32)
//
// Four words of eight rows are a step: two rows, the first and the fifth of them, and so on, share a
// register, of which four are transposed, half by half.
TEXT ·packWords(SB), NOSPLIT, $0-36
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         row+16(FP), R8
	MOVQ         n+24(FP), DX
	MOVL         flip+32(FP), AX
	VMOVD        AX, X8
	VPBROADCASTD X8, Y8
	LEAQ         (R8)(R8*2), R9  // three rows
	LEAQ         (R8)(R9*2), R10 // seven rows
	LEAQ         (R8)(R8*4), R11 // five rows
	SHRQ         $2, DX          // steps of eight rows
	MOVQ         $4, R12

rows:
	MOVQ SI, AX
	MOVQ DI, BX
	MOVQ DX, CX

words:
	VMOVDQU     (AX), X0
	VMOVDQU     (AX)(R8*1), X1
	VMOVDQU     (AX)(R8*2), X2
	VMOVDQU     (AX)(R9*1), X3
	VINSERTI128 $1, (AX)(R8*4), Y0, Y0
	VINSERTI128 $1, (AX)(R11*1), Y1, Y1
	VINSERTI128 $1, (AX)(R9*2), Y2, Y2
	VINSERTI128 $1, (AX)(R10*1), Y3, Y3
	VPUNPCKLDQ  Y1, Y0, Y4
	VPUNPCKHDQ  Y1, Y0, Y5
	VPUNPCKLDQ  Y3, Y2, Y6
	VPUNPCKHDQ  Y3, Y2, Y7
	VPUNPCKLQDQ Y6, Y4, Y0
	VPUNPCKHQDQ Y6, Y4, Y1
	VPUNPCKLQDQ Y7, Y5, Y2
	VPUNPCKHQDQ Y7, Y5, Y3
	VPXOR       Y8, Y0, Y0
	VPXOR       Y8, Y1, Y1
	VPXOR       Y8, Y2, Y2
	VPXOR       Y8, Y3, Y3
	VMOVDQU     Y0, (BX)
	VMOVDQU     Y1, 128(BX)
	VMOVDQU     Y2, 256(BX)
	VMOVDQU     Y3, 384(BX)
	ADDQ        $16, AX
	ADDQ        $512, BX
	DECQ        CX
	JNZ         words

	LEAQ (SI)(R8*8), SI
	ADDQ $32, DI
	DECQ R12
	JNZ  rows
	VZEROUPPER
	RET
