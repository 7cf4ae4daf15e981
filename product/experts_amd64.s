//go:build amd64 && !windows

#include "entry_amd64.h"
#include "go_asm.h"
#include "textflag.h"

// The operations of mixtures, as entry_amd64.s describes them: ggml's threads call them with the
// System V ABI. A thread keeps its state in a frame of its own.

#define ALIGN64(r) \
	ADDQ $63, r  \
	ANDQ $-64, r

// opGroupPairs is Group: reference in experts_reference.go.
TEXT ·opGroupPairs(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ   BX                     // ENTER, in which go vet does not see that BP is kept
	PUSHQ   BP
	PUSHQ   R12
	PUSHQ   R13
	PUSHQ   R14
	PUSHQ   R15
	MOVLQSX SI, SI
	MOVLQSX DX, DX
	MOVLQSX (tensor_params+expertParams_threads)(DI), AX
	CMPQ    DX, AX
	CMOVQGT AX, DX
	CMPQ    SI, DX
	JGE     leave                  // there is no frame: the others do the work

	// This thread's frame, and what it keeps there.
	MOVQ    tensor_data(DI), R8
	ALIGN64(R8)
	MOVLQSX (tensor_params+expertParams_frames)(DI), R15
	MOVLQSX (tensor_params+expertParams_frameSize)(DI), AX
	IMULQ   SI, AX
	ADDQ    AX, R15
	SHLQ    $6, R15
	ADDQ    R8, R15
	LEAQ    const_tilesOffset(R8), AX
	MOVQ    AX, groupFrame_tiles(R15)
	MOVLQSX (tensor_params+expertParams_in)(DI), AX
	SHRQ    $5, AX
	MOVQ    AX, groupFrame_blocks(R15)
	LEAQ    (AX)(AX*2), AX
	SHLQ    $4, AX                 // 48 bytes a block
	MOVQ    AX, groupFrame_token(R15)
	MOVQ    tensor_src(DI), AX
	MOVQ    tensor_data(AX), AX
	ALIGN64(AX)
	ADDQ    $const_tilesOffset, AX
	MOVQ    AX, groupFrame_from(R15)
	MOVLQSX (tensor_params+expertParams_tokens)(DI), R14
	MOVQ    R14, groupFrame_tokens(R15)
	MOVQ    (tensor_src+8)(DI), R11
	MOVQ    tensor_ne(R11), R12    // used
	MOVQ    (tensor_ne+8)(R11), R13
	MOVQ    (tensor_nb+8)(R11), BP
	MOVQ    tensor_data(R11), R11
	MOVQ    $1, AX
	CMPQ    R14, R13
	CMOVQEQ R12, AX
	MOVQ    AX, groupFrame_rows(R15)
	MOVQ    R12, AX
	IMULQ   R13, AX                // pairs
	MOVQ    DX, groupFrame_threads(R15)
	MOVQ    AX, BX
	IMULQ   SI, BX
	MOVQ    BX, groupFrame_low(R15)
	ADDQ    AX, BX
	MOVQ    BX, groupFrame_high(R15)
	MOVLQSX (tensor_params+expertParams_table)(DI), R14
	SHLQ    $6, R14
	ADDQ    R8, R14                // the table
	LEAQ    (63)(AX*4), AX
	ANDQ    $-64, AX
	LEAQ    const_tableHead(R14)(AX*1), AX
	MOVQ    AX, groupFrame_groups(R15)

	// How many pairs each expert has.
	LEAQ    const_frameRoom(R15), R9
	MOVLQSX (tensor_params+expertParams_rows)(DI), R10
	XORL    AX, AX
	XORL    CX, CX
zero:
	MOVL    AX, (R9)(CX*4)
	INCQ    CX
	CMPQ    CX, R10
	JLT     zero
	MOVQ    R11, BX
	MOVQ    R13, DX
countToken:
	XORL    CX, CX
count:
	MOVL    (BX)(CX*4), AX
	CMPQ    AX, R10                // a negative id is a large number
	JAE     notCounted
	INCL    (R9)(AX*4)
notCounted:
	INCQ    CX
	CMPQ    CX, R12
	JLT     count
	ADDQ    BP, BX
	DECQ    DX
	JNZ     countToken

	// The groups, behind the counts, and the first position of each.
	LEAQ    (R9)(R10*4), DI
	MOVQ    DI, groupFrame_own(R15)
	XORL    CX, CX                 // expert
	XORL    AX, AX                 // position
	XORL    BX, BX                 // slot
	XORL    R8, R8                 // most
find:
	MOVL    (R9)(CX*4), DX
	TESTL   DX, DX
	JZ      none
	MOVL    CX, group_expert(DI)
	MOVL    DX, group_pairs(DI)
	MOVL    AX, group_first(DI)
	MOVL    BX, group_slot(DI)
	ADDQ    $group__size, DI
	MOVL    AX, (R9)(CX*4)
	ADDL    DX, AX
	CMPL    DX, R8
	CMOVLGT DX, R8
	ADDL    $(const_slotStep-1), DX
	ANDL    $-const_slotStep, DX
	ADDL    DX, BX
none:
	INCQ    CX
	CMPQ    CX, R10
	JLT     find
	MOVQ    DI, groupFrame_order(R15)

	// The pair of each position; and of the first thread, the position of each pair.
	XORL    DX, DX                 // pair
	MOVQ    R13, groupFrame_left(R15)
	MOVQ    groupFrame_low(R15), R13
placeToken:
	XORL    CX, CX
place:
	MOVL    (R11)(CX*4), AX
	MOVQ    $-1, BX
	CMPQ    AX, R10
	JAE     placed
	MOVL    (R9)(AX*4), BX
	INCL    (R9)(AX*4)
	MOVL    DX, (DI)(BX*4)
placed:
	TESTQ   R13, R13               // 0 on the first thread
	JNZ     others
	MOVL    BX, const_tableHead(R14)(DX*4)
others:
	INCQ    DX
	INCQ    CX
	CMPQ    CX, R12
	JLT     place
	ADDQ    BP, R11
	DECQ    groupFrame_left(R15)
	JNZ     placeToken

	// The table, and the counters.
	MOVQ    groupFrame_own(R15), BX
	MOVQ    DI, CX
	SUBQ    BX, CX
	SHRQ    $4, CX                 // groups
	MOVQ    CX, groupFrame_left(R15)
	JZ      done
	TESTQ   R13, R13
	JNZ     next
	MOVL    CX, 0(R14)
	MOVL    R8, 4(R14)
	MOVQ    groupFrame_groups(R15), DX
copyGroup:
	VMOVDQU (BX), X0
	VMOVDQU X0, (DX)
	ADDQ    $group__size, BX
	ADDQ    $group__size, DX
	CMPQ    BX, DI
	JNE     copyGroup
	CALL    zeroCounters<>(SB)

	// The tiles whose first position is in this thread's share.
next:
	XORL    R14, R14               // pairs of the group that are done
tile:
	MOVQ    groupFrame_own(R15), BX
	MOVL    group_first(BX), R13
	ADDQ    R14, R13
	MOVQ    R13, AX
	IMULQ   groupFrame_threads(R15), AX
	CMPQ    AX, groupFrame_low(R15)
	JLT     nextTile
	CMPQ    AX, groupFrame_high(R15)
	JGE     nextTile
	MOVL    group_pairs(BX), DX
	SUBQ    R14, DX
	MOVQ    $const_tileTokens, AX
	CMPQ    DX, AX
	CMOVQGT AX, DX
	MOVQ    DX, groupFrame_n(R15)
	MOVL    group_slot(BX), DI
	ADDQ    R14, DI
	IMULQ   groupFrame_token(R15), DI
	ADDQ    groupFrame_tiles(R15), DI
	MOVQ    DI, groupFrame_to(R15)
	MOVQ    groupFrame_order(R15), AX
	LEAQ    (AX)(R13*4), R13       // its pairs
	XORL    BP, BP                 // k, of n
token:
	MOVL    (R13)(BP*4), AX
	XORL    DX, DX
	MOVQ    groupFrame_rows(R15), CX
	DIVL    CX
	MOVQ    AX, BX
	ANDQ    $-const_tileTokens, BX // the first token of its tile
	ANDQ    $(const_tileTokens-1), AX
	MOVQ    groupFrame_tokens(R15), R8
	SUBQ    BX, R8
	MOVQ    $const_tileTokens, CX
	CMPQ    R8, CX
	CMOVQGT CX, R8                 // m, tokens of the tile
	IMULQ   groupFrame_token(R15), BX
	ADDQ    groupFrame_from(R15), BX
	MOVQ    groupFrame_n(R15), R9
	MOVQ    groupFrame_to(R15), DI
	// SI, BX: the token's bytes and the numbers behind; DI, DX: where they go. R10, R11: three times
	// the distance of numbers, R8 and R9. AX, CX: bytes of blocks.
	MOVQ    AX, SI
	SHLQ    $5, SI
	ADDQ    BX, SI
	LEAQ    (BX)(AX*4), BX
	MOVQ    R8, CX
	SHLQ    $5, CX
	ADDQ    CX, BX
	LEAQ    (DI)(BP*4), DX
	MOVQ    R9, CX
	SHLQ    $5, CX
	ADDQ    CX, DX
	MOVQ    BP, CX
	SHLQ    $5, CX
	ADDQ    CX, DI
	SHLQ    $2, R8
	SHLQ    $2, R9
	LEAQ    (R8)(R8*2), R10
	LEAQ    (R9)(R9*2), R11
	LEAQ    (R10*4), AX
	LEAQ    (R11*4), CX
	MOVQ    groupFrame_blocks(R15), R12
	MOVQ    R13, groupFrame_pairs(R15)
block:
	VMOVDQU (SI), X0
	VMOVDQU 16(SI), X1
	VMOVDQU X0, (DI)
	VMOVDQU X1, 16(DI)
	MOVL    (BX), R13
	MOVL    R13, (DX)
	MOVL    (BX)(R8*1), R13
	MOVL    R13, (DX)(R9*1)
	MOVL    (BX)(R8*2), R13
	MOVL    R13, (DX)(R9*2)
	MOVL    (BX)(R10*1), R13
	MOVL    R13, (DX)(R11*1)
	ADDQ    AX, SI
	ADDQ    AX, BX
	ADDQ    CX, DI
	ADDQ    CX, DX
	DECQ    R12
	JNZ     block
	MOVQ    groupFrame_pairs(R15), R13
	INCQ    BP
	CMPQ    BP, groupFrame_n(R15)
	JLT     token
nextTile:
	ADDQ    $const_tileTokens, R14
	MOVQ    groupFrame_own(R15), BX
	MOVL    group_pairs(BX), AX
	CMPQ    R14, AX
	JLT     tile
	ADDQ    $group__size, BX
	MOVQ    BX, groupFrame_own(R15)
	DECQ    groupFrame_left(R15)
	JNZ     next
leave:
	LEAVE

	// There are no groups: no id is an expert's.
done:
	TESTQ   R13, R13
	JNZ     leave
	MOVQ    CX, 0(R14)
	CALL    zeroCounters<>(SB)
	JMP     leave

// zeroCounters sets the counters to zero of the activations whose first tile is in the frame in R15.
TEXT zeroCounters<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ groupFrame_tiles(R15), AX
	VPXOR X0, X0, X0
	MOVQ $const_tilesOffset, CX
zero:
	VMOVDQU X0, -16(AX)
	SUBQ $16, AX
	SUBQ $16, CX
	JNZ  zero
	RET

// opMixPairs is Mix.
TEXT ·opMixPairs(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVLQSX SI, SI
	MOVLQSX DX, R15
	MOVQ    tensor_src(DI), R8     // y
	MOVQ    (tensor_src+8)(DI), R9 // weights
	MOVQ    (tensor_src+16)(DI), R10
	MOVQ    tensor_data(R8), R8
	MOVQ    tensor_data(R9), R9
	MOVQ    tensor_data(R10), R10
	ALIGN64(R10)
	MOVLQSX (tensor_params+expertParams_table)(DI), AX
	SHLQ    $6, AX
	LEAQ    const_tableHead(R10)(AX*1), R10 // positions
	MOVLQSX (tensor_params+expertParams_tokens)(DI), R11 // used
	MOVQ    tensor_ne(DI), R12
	SHLQ    $2, R12                // bytes of a result

	// This thread's share, in runs of 32 columns: DI is where it begins, and R14 its end.
	MOVQ    (tensor_ne+8)(DI), AX
	IMULQ   tensor_ne(DI), AX
	SHRQ    $5, AX
	MOVQ    AX, R14
	IMULQ   SI, AX
	XORL    DX, DX
	DIVQ    R15
	MOVQ    AX, CX
	MOVQ    R14, AX
	INCQ    SI
	IMULQ   SI, AX
	XORL    DX, DX
	DIVQ    R15
	MOVQ    AX, R14
	SHLQ    $7, R14
	MOVQ    tensor_data(DI), DI
	ADDQ    DI, R14
	MOVQ    CX, AX
	SHLQ    $7, AX
	ADDQ    AX, DI                 // the result
	XORL    DX, DX
	DIVQ    R12                    // token, and the column's bytes
	MOVQ    DX, R13
	IMULQ   R11, AX
	LEAQ    (R9)(AX*4), R9         // the token's weights
	LEAQ    (R10)(AX*4), R10       // and positions
	MOVL    $0x7fc00000, AX
	MOVQ    AX, X15
	VBROADCASTSS X15, Y15
columns:
	CMPQ    DI, R14
	JGE     mixed
	XORL    CX, CX                 // of used
expert:
	MOVLQSX (R10)(CX*4), AX
	TESTQ   AX, AX
	JLT     nan
	IMULQ   R12, AX
	ADDQ    R8, AX
	VBROADCASTSS (R9)(CX*4), Y4
	VMULPS  (AX)(R13*1), Y4, Y5
	VMULPS  32(AX)(R13*1), Y4, Y6
	VMULPS  64(AX)(R13*1), Y4, Y7
	VMULPS  96(AX)(R13*1), Y4, Y8
	JMP     add
nan:
	VMOVAPS Y15, Y5
	VMOVAPS Y15, Y6
	VMOVAPS Y15, Y7
	VMOVAPS Y15, Y8
add:
	TESTQ   CX, CX
	JZ      first
	VADDPS  Y5, Y0, Y0
	VADDPS  Y6, Y1, Y1
	VADDPS  Y7, Y2, Y2
	VADDPS  Y8, Y3, Y3
	JMP     added
first:
	VMOVAPS Y5, Y0
	VMOVAPS Y6, Y1
	VMOVAPS Y7, Y2
	VMOVAPS Y8, Y3
added:
	INCQ    CX
	CMPQ    CX, R11
	JLT     expert
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, DI
	ADDQ    $128, R13
	CMPQ    R13, R12
	JLT     columns
	XORL    R13, R13
	LEAQ    (R9)(R11*4), R9
	LEAQ    (R10)(R11*4), R10
	JMP     columns
mixed:
	LEAVE
