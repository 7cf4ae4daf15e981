//go:build amd64 && !windows

#include "entry_amd64.h"
#include "go_asm.h"
#include "textflag.h"

// The products with weights of plain floats are called as those with packed weights: see
// entry_amd64.s. A thread's state lies on its stack, in a struct plainFrame. It computes a share of
// the rows of weights, or of the tokens if there are few rows. Rows are divided into blocks that stay
// in the second-level cache while all tokens are multiplied by them.

TEXT ·opPlainAVX2(SB), NOSPLIT|NOFRAME, $0-0
	XORL AX, AX
	JMP  plain<>(SB)

TEXT ·opPlainAVX512(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  plain<>(SB)

// plain computes with the instruction set AX.
TEXT plain<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  SP, R12
	SUBQ  $512, SP
	ANDQ  $-64, SP
	MOVQ  DI, R11
	MOVQ  SP, DI
	MOVQ  R12, plainFrame_sp(DI)
	MOVQ  AX, plainFrame_set(DI)
	MOVLQSX SI, SI
	MOVLQSX DX, R10
	MOVQ  tensor_src+0(R11), R9
	MOVL  tensor_typ(R9), AX
	CALL  ·choosePlain(SB)

	// Weights, tokens and results.
	MOVQ  tensor_data(R9), AX
	MOVQ  AX, plainFrame_w(DI)
	MOVQ  tensor_nb+8(R9), R14
	MOVQ  R14, plainFrame_wRow(DI)
	MOVQ  tensor_ne+8(R9), R12     // rows
	LEAQ  -1(R12), BX
	IMULQ R14, BX
	ADDQ  AX, BX
	MOVQ  BX, plainFrame_wLast(DI)
	MOVQ  tensor_ne+0(R9), AX
	IMULQ tensor_nb+0(R9), AX
	MOVQ  AX, plainFrame_wBytes(DI)
	MOVQ  tensor_src+8(R11), R9
	MOVQ  tensor_data(R9), AX
	MOVQ  AX, plainFrame_x(DI)
	MOVQ  tensor_nb+8(R9), AX
	MOVQ  AX, plainFrame_xRow(DI)
	MOVQ  tensor_data(R11), AX
	MOVQ  AX, plainFrame_c(DI)
	MOVQ  tensor_nb+8(R11), AX
	MOVQ  AX, plainFrame_cRow(DI)
	MOVQ  tensor_ne+8(R11), R13    // tokens
	IMULQ tensor_ne+16(R11), R13
	IMULQ tensor_ne+24(R11), R13

	// The thread's share, in units of 4 rows or of as many tokens as are multiplied at a time: rows,
	// if each thread has some units of them, or no fewer than of tokens.
	MOVQ  plainFrame_most(DI), CX
	LEAQ  -1(R13)(CX*1), AX
	XORL  DX, DX
	DIVQ  CX
	MOVQ  AX, R8                   // units of tokens
	LEAQ  3(R12), R9
	SHRQ  $2, R9                   // units of rows
	MOVQ  $0, plainFrame_block(DI)
	MOVQ  R12, plainFrame_rowEnd(DI)
	MOVQ  $0, plainFrame_token0(DI)
	MOVQ  R13, plainFrame_tokenEnd(DI)
	LEAQ  (R10*4), AX
	CMPQ  R9, AX
	JGE   rows
	CMPQ  R9, R8
	JLT   tokens
rows:
	MOVQ  R9, AX
	CALL  shareOf<>(SB)
	SHLQ  $2, AX
	SHLQ  $2, BX
	CMPQ  BX, R12
	CMOVQGT R12, BX
	MOVQ  AX, plainFrame_block(DI)
	MOVQ  BX, plainFrame_rowEnd(DI)
	JMP   shared
tokens:
	MOVQ  R8, AX
	CALL  shareOf<>(SB)
	IMULQ CX, AX
	IMULQ CX, BX
	CMPQ  BX, R13
	CMOVQGT R13, BX
	MOVQ  AX, plainFrame_token0(DI)
	MOVQ  BX, plainFrame_tokenEnd(DI)
shared:

	// Blocks of 256 KiB of weights, and at least 4 rows.
	MOVQ  $(256<<10), AX
	XORL  DX, DX
	DIVQ  R14
	ANDQ  $-4, AX
	MOVL  $4, BX
	CMPQ  AX, BX
	CMOVQLT BX, AX
	MOVQ  AX, plainFrame_blockRows(DI)

block:
	MOVQ  plainFrame_block(DI), AX
	CMPQ  AX, plainFrame_rowEnd(DI)
	JGE   out
	ADDQ  plainFrame_blockRows(DI), AX
	CMPQ  AX, plainFrame_rowEnd(DI)
	CMOVQGT plainFrame_rowEnd(DI), AX
	MOVQ  AX, plainFrame_blockEnd(DI)
	MOVQ  plainFrame_token0(DI), AX
	MOVQ  AX, plainFrame_token(DI)

some:
	MOVQ  plainFrame_tokenEnd(DI), CX
	SUBQ  plainFrame_token(DI), CX
	JLE   nextBlock
	CMPQ  CX, plainFrame_most(DI)
	CMOVQGT plainFrame_most(DI), CX
	MOVQ  CX, plainFrame_n(DI)
	MOVL  $4, AX                   // rows at a time
	CMPQ  plainFrame_set(DI), $0
	JNE   four
	CMPQ  CX, $1
	JEQ   four
	MOVL  $2, AX
four:
	MOVQ  AX, plainFrame_r(DI)
	IMULQ plainFrame_wRow(DI), AX
	MOVQ  AX, plainFrame_ahead(DI)
	MOVQ  plainFrame_token(DI), AX
	IMULQ plainFrame_xRow(DI), AX
	ADDQ  plainFrame_x(DI), AX
	MOVQ  AX, plainFrame_tokens(DI)
	MOVQ  plainFrame_block(DI), AX
	MOVQ  AX, plainFrame_row(DI)

row:
	MOVQ  plainFrame_row(DI), AX
	MOVQ  AX, BX
	IMULQ plainFrame_wRow(DI), BX
	ADDQ  plainFrame_w(DI), BX
	MOVQ  plainFrame_wLast(DI), CX
	MOVQ  BX, plainFrame_rows+0(DI)
	ADDQ  plainFrame_wRow(DI), BX
	CMPQ  BX, CX
	CMOVQHI CX, BX
	MOVQ  BX, plainFrame_rows+8(DI)
	ADDQ  plainFrame_wRow(DI), BX
	CMPQ  BX, CX
	CMOVQHI CX, BX
	MOVQ  BX, plainFrame_rows+16(DI)
	ADDQ  plainFrame_wRow(DI), BX
	CMPQ  BX, CX
	CMOVQHI CX, BX
	MOVQ  BX, plainFrame_rows+24(DI)
	MOVQ  plainFrame_token(DI), BX
	IMULQ plainFrame_cRow(DI), BX
	ADDQ  plainFrame_c(DI), BX
	LEAQ  (BX)(AX*4), BX
	MOVQ  BX, plainFrame_result(DI)
	MOVQ  plainFrame_rowEnd(DI), BX
	SUBQ  AX, BX
	CMPQ  BX, plainFrame_r(DI)
	CMOVQGT plainFrame_r(DI), BX
	NEGQ  BX
	LEAQ  results<>(SB), CX
	VMOVUPS 16(CX)(BX*4), X0
	VMOVUPS X0, plainFrame_mask(DI)
	MOVQ  plainFrame_texts(DI), AX
	MOVQ  plainFrame_n(DI), BX
	MOVQ  -8(AX)(BX*8), AX
	CALL  AX
	MOVQ  plainFrame_row(DI), AX
	ADDQ  plainFrame_r(DI), AX
	MOVQ  AX, plainFrame_row(DI)
	CMPQ  AX, plainFrame_blockEnd(DI)
	JLT   row
	MOVQ  plainFrame_n(DI), AX
	ADDQ  AX, plainFrame_token(DI)
	JMP   some

nextBlock:
	MOVQ  plainFrame_blockEnd(DI), AX
	MOVQ  AX, plainFrame_block(DI)
	JMP   block

out:
	MOVQ  plainFrame_sp(DI), SP
	LEAVE

// shareOf returns where the share of thread SI of R10 begins among AX units, and in BX where it ends. It
// uses DX too.
TEXT shareOf<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  AX, BX
	IMULQ SI, AX
	ADDQ  AX, BX                   // units × (thread + 1)
	XORL  DX, DX
	DIVQ  R10
	XCHGQ AX, BX
	XORL  DX, DX
	DIVQ  R10
	XCHGQ AX, BX
	RET

// func plainAddresses() (avx2, avx512 uintptr)
TEXT ·plainAddresses(SB), NOSPLIT, $0-16
	LEAQ ·opPlainAVX2(SB), AX
	MOVQ AX, avx2+0(FP)
	LEAQ ·opPlainAVX512(SB), AX
	MOVQ AX, avx512+8(FP)
	RET

// results are which of up to 4 rows have a result: from 16 bytes minus 4 for each row on.
DATA results<>+0(SB)/8, $0xffffffffffffffff
DATA results<>+8(SB)/8, $0xffffffffffffffff
DATA results<>+16(SB)/8, $0
DATA results<>+24(SB)/8, $0
GLOBL results<>(SB), RODATA|NOPTR, $32
