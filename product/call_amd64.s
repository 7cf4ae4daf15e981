//go:build amd64 && !windows

#include "textflag.h"

// func callOp(fn uintptr, dst *tensor, thread, threads int32)
TEXT ·callOp(SB), NOSPLIT, $8-24
	MOVQ fn+0(FP), AX
	MOVQ dst+8(FP), DI
	MOVL thread+16(FP), SI
	MOVL threads+20(FP), DX
	CALL AX
	RET
