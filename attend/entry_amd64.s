//go:build amd64 && !windows

#include "go_asm.h"
#include "textflag.h"

// ggml's threads call the op's two entry points with the System V ABI:
//
//	void op(struct ggml_tensor *dst, int thread, int threads, void *unused)
//
// Threads take items by a counter in spans. Where work is divided by ranges, the thread that
// finishes a head's last range adds up the head's parts, in their order. The last thread to leave
// sets the counters to zero again.
//
// The functions that they call are generated. Each takes the frame's address in DI and leaves it
// there, keeps all other state in the frame, and uses every other register. None of them calls Go
// or allocates, and only return addresses and saved registers are on the stack, because a signal
// may arrive at any instruction on any thread.

#define TILES 2 // frame's number for AMX's tiles: amxISA in internal/gen/attend

TEXT ·opAVX2(SB), NOSPLIT|NOFRAME, $0-0
	XORL AX, AX
	JMP  op<>(SB)

TEXT ·opAVX512(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  op<>(SB)

TEXT ·opTiles(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $TILES, AX
	JMP  op<>(SB)

// op computes with the instruction set in AX.
TEXT op<>(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ BX
	PUSHQ BP
	PUSHQ R12
	PUSHQ R13
	PUSHQ R14
	PUSHQ R15

	// This thread's frame, in the result's scratch: see layout.go.
	MOVLQSX SI, SI
	MOVLQSX DX, DX
	MOVQ    tensor_src+24(DI), R8  // spans
	MOVQ    tensor_data(R8), R8
	MOVL    tensor_params+params_threads(DI), R9
	CMPQ    SI, R9
	JGE     leave                  // there is none: the other threads do the work
	MOVQ    tensor_data(DI), R8
	ADDQ    $63, R8
	ANDQ    $-64, R8
	MOVLQSX tensor_params+params_frames(DI), R10
	MOVLQSX tensor_params+params_frameSize(DI), R11
	IMULQ   SI, R11
	ADDQ    R11, R10
	SHLQ    $6, R10
	ADDQ    R8, R10
	MOVQ    DI, frame_tensor(R10)
	MOVQ    DX, frame_threads(R10)
	MOVQ    AX, frame_isa(R10)
	MOVQ    R8, frame_base(R10)
	MOVQ    R10, DI                // stays there: the texts below use every other register
	CALL    ·opSetup(SB)
	CMPQ    frame_isa(DI), $TILES
	JNE     next
	CALL    ·opBeginAMX(SB)

next:
	MOVQ  frame_work(DI), AX
	MOVL  $1, CX
	LOCK
	XADDL CX, 0(AX)
	CMPQ  CX, frame_items(DI)
	JGE   finished
	MOVQ  CX, frame_item(DI)
	CMPQ  CX, frame_itemEnd(DI)
	JLT   item
	CALL  ·opTree(SB)
item:
	CALL  ·opBegin(SB)
	CMPQ  frame_columns(DI), $0
	JEQ   begun
	CALL  ·opColumnQueries(SB)
	CMPQ  frame_isa(DI), $TILES
	JNE   begun
	CALL  ·opQueryPieces(SB)
begun:
	CMPQ  frame_blocks(DI), $0
	JEQ   part

	// A pass of rows, over all ranges. The first one's part is that to which the others are added.
	CALL range<>(SB)
	MOVQ frame_own(DI), AX
	MOVQ AX, frame_part(DI)
	JMP  folded
pass:
	CALL range<>(SB)
	CALL fold<>(SB)
folded:
	INCQ frame_r(DI)
	MOVQ frame_r(DI), AX
	CMPQ AX, frame_ranges(DI)
	JLT  pass
	CALL output<>(SB)
	JMP  next

	// One range; and its head's result, if it was the last one to be done.
part:
	CALL  range<>(SB)
	MOVQ  frame_spans(DI), AX
	MOVQ  frame_head(DI), BX
	LEAQ  32(AX)(BX*4), AX
	MOVL  $1, CX
	LOCK
	XADDL CX, 0(AX)
	INCQ  CX
	CMPQ  CX, frame_ranges(DI)
	JNE   next
	MOVL  $0, 0(AX)
	MOVQ  $0, frame_r(DI)
	IMULQ frame_partSize(DI), BX
	ADDQ  frame_parts(DI), BX
	MOVQ  BX, frame_part(DI)
merge:
	CALL  fold<>(SB)
	MOVQ  frame_partSize(DI), AX
	IMULQ frame_kvHeads(DI), AX
	ADDQ  AX, frame_part(DI)
	INCQ  frame_r(DI)
	MOVQ  frame_r(DI), AX
	CMPQ  AX, frame_ranges(DI)
	JLT   merge
	CALL  output<>(SB)
	JMP   next

finished:
	CMPQ frame_isa(DI), $TILES
	JNE  count
	CALL ·opFinishAMX(SB)
count:
	MOVQ frame_work(DI), R8
	MOVQ frame_threads(DI), DX
	VZEROUPPER
leave:
	MOVL  $1, CX
	LOCK
	XADDL CX, 4(R8)
	INCQ  CX
	CMPQ  CX, DX
	JNE   out
	MOVQ  $0, 0(R8)                // both counters
out:
	POPQ R15
	POPQ R14
	POPQ R13
	POPQ R12
	POPQ BP
	POPQ BX
	RET

// fold adds part to acc.
TEXT fold<>(SB), NOSPLIT|NOFRAME, $0-0
	CMPQ frame_columns(DI), $0
	JNE  columns
	JMP  ·opFold(SB)
columns:
	JMP  ·opFoldColumns(SB)

// output writes what acc holds to the op's result.
TEXT output<>(SB), NOSPLIT|NOFRAME, $0-0
	CMPQ frame_columns(DI), $0
	JEQ  vectors
	CALL ·opColumnOutputs(SB)
vectors:
	JMP  ·opOutput(SB)

// range computes attention over the cells of range r, tile by tile, and within a tile a column of 16
// vectors at a time, or a group of up to four. It stores the result in part.
TEXT range<>(SB), NOSPLIT|NOFRAME, $0-0
	CALL ·opRange(SB)
tile:
	CALL ·opTile(SB)
	CMPQ frame_tn(DI), $0
	JEQ  end
	CMPQ frame_left(DI), $0
	JEQ  listed                    // no row reads the tile's cells as they lie
	MOVQ frame_kt(DI), AX
	CMPQ AX, frame_kx(DI)
	JNE  read                      // keys and values are read where they lie
	MOVQ frame_typed(DI), AX
	MOVQ 0(AX), AX
	CALL AX                        // expand
read:
	CMPQ frame_columns(DI), $0
	JEQ  group
	CMPQ frame_isa(DI), $TILES
	JNE  column
	MOVQ frame_column(DI), AX
	MOVQ 32(AX), AX
	CALL AX                        // the pieces of keys and values
	MOVQ frame_column(DI), AX
	CMPQ 40(AX), $0
	JEQ  column
	CMPQ frame_together(DI), $0
	JEQ  column
	CALL together<>(SB)
	JMP  tile
column:
	CALL ·opColumn(SB)
	CMPQ frame_seen(DI), $0
	JEQ  nextColumn
	MOVQ frame_column(DI), AX
	MOVQ 0(AX), AX
	CALL AX                        // scores
	MOVQ frame_column(DI), AX
	MOVQ 8(AX), AX
	CALL AX                        // softmax
	MOVQ frame_column(DI), AX
	MOVQ frame_partial(DI), BX
	MOVQ 16(AX)(BX*8), AX
	CALL AX                        // values, or values of the cells that each sees
nextColumn:
	CALL ·opNextColumn(SB)
	CMPQ frame_left(DI), $0
	JG   column
	JMP  listed

group:
	CALL ·opGroup(SB)
	CMPQ frame_seen(DI), $0
	JEQ  nextGroup
	MOVQ frame_table(DI), AX
	MOVQ frame_size(DI), BX
	MOVQ 0(AX)(BX*8), AX
	CALL AX                        // scores
	MOVQ frame_texts(DI), AX
	MOVQ frame_size(DI), BX
	MOVQ -8(AX)(BX*8), AX
	CALL AX                        // softmax
	MOVQ frame_size(DI), BX
	CMPQ frame_partial(DI), $0
	JNE  some
	MOVQ frame_table(DI), AX
	MOVQ 32(AX)(BX*8), AX
	CALL AX                        // values
	JMP  nextGroup
some:
	MOVQ frame_texts(DI), AX
	MOVQ 24(AX)(BX*8), AX
	CALL AX                        // values of the cells that each sees
nextGroup:
	CALL ·opNextGroup(SB)
	CMPQ frame_left(DI), $0
	JG   group
listed:
	CMPQ frame_listed(DI), $0
	JEQ  tile
	CALL ·opListed(SB)
	MOVQ frame_typed(DI), AX
	MOVQ 72(AX), AX
	CALL AX                        // gather
	CMPQ frame_columns(DI), $0
	JEQ  group
	JMP  column
end:
	RET

// together computes a tile that all vectors see: softmax of a column beside the scores of the next one,
// and after that the values of the one before.
TEXT together<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ frame_column(DI), AX
	MOVQ 0(AX), AX
	CALL AX                        // scores
next:
	MOVQ frame_column(DI), AX
	CMPQ frame_left(DI), $16
	JLE  last
	MOVQ 40(AX), AX
	CALL AX                        // softmax, and scores of the next column
	CALL before<>(SB)
	CALL ·opNextColumn(SB)
	MOVQ frame_scores(DI), AX
	MOVQ frame_other(DI), BX
	MOVQ BX, frame_scores(DI)
	MOVQ AX, frame_other(DI)
	MOVQ frame_pa(DI), AX
	MOVQ frame_pb(DI), BX
	MOVQ BX, frame_pa(DI)
	MOVQ AX, frame_pb(DI)
	JMP  next
last:
	CALL before<>(SB)
	MOVQ frame_column(DI), AX
	MOVQ 8(AX), AX
	CALL AX                        // softmax
	MOVQ frame_column(DI), AX
	MOVQ 16(AX), AX
	CALL AX                        // values
	RET

// before computes the values of the column before, if this one is not the first.
TEXT before<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ frame_qp(DI), AX
	CMPQ AX, frame_qs(DI)
	JEQ  none
	MOVQ frame_column(DI), AX
	MOVQ 48(AX), AX
	CALL AX
none:
	RET

// func callOp(fn uintptr, dst *tensor, thread, threads int32)
TEXT ·callOp(SB), NOSPLIT, $8-24
	MOVQ fn+0(FP), AX
	MOVQ dst+8(FP), DI
	MOVL thread+16(FP), SI
	MOVL threads+20(FP), DX
	CALL AX
	RET

// func opAddresses() (avx2, avx512, tiles, read uintptr)
TEXT ·opAddresses(SB), NOSPLIT, $0-32
	LEAQ ·opAVX2(SB), AX
	MOVQ AX, avx2+0(FP)
	LEAQ ·opAVX512(SB), AX
	MOVQ AX, avx512+8(FP)
	LEAQ ·opTiles(SB), AX
	MOVQ AX, tiles+16(FP)
	LEAQ ·opRead(SB), AX
	MOVQ AX, read+24(FP)
	RET
