//go:build !windows

#include "textflag.h"

// func madd(n int)
TEXT ·madd(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	VPXOR Y12, Y12, Y12
	VPXOR Y13, Y13, Y13
	VPXOR Y14, Y14, Y14

maddLoop:
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y0, Y0
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y1, Y1
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y2, Y2
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y3, Y3
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y4, Y4
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y5, Y5
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y6, Y6
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y7, Y7
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y8, Y8
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y9, Y9
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y10, Y10
	VPMADDUBSW Y12, Y13, Y15
	VPMADDWD   Y14, Y15, Y15
	VPADDD     Y15, Y11, Y11
	DECQ CX
	JNZ  maddLoop
	VZEROUPPER
	RET

// func avxvnni(n int)
// Go's assembler has VPDPBUSD for AVX-512 alone.
TEXT ·avxvnni(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	VPXOR Y12, Y12, Y12
	VPXOR Y13, Y13, Y13

avxvnniLoop:
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xC4 // vpdpbusd %ymm12, %ymm13, %ymm0
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xCC // vpdpbusd %ymm12, %ymm13, %ymm1
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xD4 // vpdpbusd %ymm12, %ymm13, %ymm2
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xDC // vpdpbusd %ymm12, %ymm13, %ymm3
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xE4 // vpdpbusd %ymm12, %ymm13, %ymm4
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xEC // vpdpbusd %ymm12, %ymm13, %ymm5
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xF4 // vpdpbusd %ymm12, %ymm13, %ymm6
	BYTE $0xC4; BYTE $0xC2; BYTE $0x15; BYTE $0x50; BYTE $0xFC // vpdpbusd %ymm12, %ymm13, %ymm7
	BYTE $0xC4; BYTE $0x42; BYTE $0x15; BYTE $0x50; BYTE $0xC4 // vpdpbusd %ymm12, %ymm13, %ymm8
	BYTE $0xC4; BYTE $0x42; BYTE $0x15; BYTE $0x50; BYTE $0xCC // vpdpbusd %ymm12, %ymm13, %ymm9
	BYTE $0xC4; BYTE $0x42; BYTE $0x15; BYTE $0x50; BYTE $0xD4 // vpdpbusd %ymm12, %ymm13, %ymm10
	BYTE $0xC4; BYTE $0x42; BYTE $0x15; BYTE $0x50; BYTE $0xDC // vpdpbusd %ymm12, %ymm13, %ymm11
	DECQ CX
	JNZ  avxvnniLoop
	VZEROUPPER
	RET

// func vnni(n int)
TEXT ·vnni(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	VPXORD Z12, Z12, Z12
	VPXORD Z13, Z13, Z13

vnniLoop:
	VPDPBUSD Z12, Z13, Z0
	VPDPBUSD Z12, Z13, Z1
	VPDPBUSD Z12, Z13, Z2
	VPDPBUSD Z12, Z13, Z3
	VPDPBUSD Z12, Z13, Z4
	VPDPBUSD Z12, Z13, Z5
	VPDPBUSD Z12, Z13, Z6
	VPDPBUSD Z12, Z13, Z7
	VPDPBUSD Z12, Z13, Z8
	VPDPBUSD Z12, Z13, Z9
	VPDPBUSD Z12, Z13, Z10
	VPDPBUSD Z12, Z13, Z11
	DECQ CX
	JNZ  vnniLoop
	VZEROUPPER
	RET

// Eight tiles of 16 rows of 64 bytes: palette 1, then from byte 16 on the bytes of a row in 2 bytes
// for each tile, and from byte 48 on its rows in one.
DATA config<>+0(SB)/8, $1
DATA config<>+8(SB)/8, $0
DATA config<>+16(SB)/8, $0x0040004000400040
DATA config<>+24(SB)/8, $0x0040004000400040
DATA config<>+32(SB)/8, $0
DATA config<>+40(SB)/8, $0
DATA config<>+48(SB)/8, $0x1010101010101010
DATA config<>+56(SB)/8, $0
GLOBL config<>(SB), RODATA, $64

// func tiles(n int)
// Go's assembler has none of the instructions. The configuration becomes what it was: ggml has one on
// this thread, which it loads once.
TEXT ·tiles(SB), NOSPLIT, $64-8
	MOVQ n+0(FP), CX
	LEAQ before-64(SP), AX
	BYTE $0xC4; BYTE $0xE2; BYTE $0x79; BYTE $0x49; BYTE $0x00 // sttilecfg (%rax)
	LEAQ config<>(SB), AX
	BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0x00 // ldtilecfg (%rax)
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xC0 // tilezero %tmm0
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xC8 // tilezero %tmm1
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xD0 // tilezero %tmm2
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xD8 // tilezero %tmm3
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xE0 // tilezero %tmm4
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xE8 // tilezero %tmm5
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xF0 // tilezero %tmm6
	BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $0xF8 // tilezero %tmm7

tilesLoop:
	BYTE $0xC4; BYTE $0xE2; BYTE $0x4B; BYTE $0x5E; BYTE $0xC4 // tdpbssd %tmm6, %tmm4, %tmm0
	BYTE $0xC4; BYTE $0xE2; BYTE $0x43; BYTE $0x5E; BYTE $0xCC // tdpbssd %tmm7, %tmm4, %tmm1
	BYTE $0xC4; BYTE $0xE2; BYTE $0x4B; BYTE $0x5E; BYTE $0xD5 // tdpbssd %tmm6, %tmm5, %tmm2
	BYTE $0xC4; BYTE $0xE2; BYTE $0x43; BYTE $0x5E; BYTE $0xDD // tdpbssd %tmm7, %tmm5, %tmm3
	DECQ CX
	JNZ  tilesLoop
	LEAQ before-64(SP), AX
	BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0x00 // ldtilecfg (%rax)
	RET
