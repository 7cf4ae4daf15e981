//go:build amd64 && !windows

#include "entry_amd64.h"
#include "go_asm.h"
#include "textflag.h"

// ggml's threads call the operations' entry points with the System V ABI:
//
//	void op(struct ggml_tensor *dst, int thread, int threads, void *unused)
//
// Each finds the table of an instruction set: the struct texts, and behind it a struct record for each
// type. With few tokens a thread computes a fixed share of neighbouring panels, as one stream from
// memory. Otherwise threads take items by a counter: a panel, and all tokens or some of them.
//
// The functions of the tables are generated. Each takes the frame's address in DI and leaves it there,
// keeps all other state in the frame, and uses every other register. None of them calls Go or
// allocates, and only return addresses and saved registers are on the stack, because a signal may
// arrive at any instruction on any thread.

TEXT ·opQuantiseVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  quantise<>(SB)

TEXT ·opNormQuantiseVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  quantise<>(SB)

TEXT ·opProductVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  product<>(SB)

TEXT ·opGateUpVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  gateUp<>(SB)

TEXT ·opQuantiseAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  quantise<>(SB)

TEXT ·opNormQuantiseAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  quantise<>(SB)

TEXT ·opProductAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  product<>(SB)

TEXT ·opGateUpAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  gateUp<>(SB)

TEXT ·opQuantiseAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  quantise<>(SB)

TEXT ·opNormQuantiseAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  quantise<>(SB)

TEXT ·opProductAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  product<>(SB)

TEXT ·opGateUpAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  gateUp<>(SB)

// Products of fewer tokens than the tiles of AMX pay for are VNNI's.
#define AMX                                                   \
	MOVL    $3, AX                                           \
	XORL    CX, CX                                           \
	CMPL    tensor_params+params_tokens(DI), $const_amxTokens \
	CMOVLLT CX, AX

TEXT ·opProductAMX(SB), NOSPLIT|NOFRAME, $0-0
	AMX
	JMP product<>(SB)

TEXT ·opGateUpAMX(SB), NOSPLIT|NOFRAME, $0-0
	AMX
	JMP gateUp<>(SB)

// quantise is Quantise with the instruction set AX, or NormQuantise if there are weights of the norm.
// Threads divide the tokens, or the blocks if there are fewer tokens than threads.
TEXT quantise<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  DI, R8
	CALL  open<>(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  written<>(SB)
	MOVLQSX tensor_params+params_in(R11), AX
	SHRQ  $5, AX
	MOVQ  AX, frame_outNb(DI)
	MOVQ  tensor_src+0(R11), R9
	MOVQ  tensor_data(R9), AX
	MOVQ  AX, frame_x(DI)
	MOVQ  tensor_nb+8(R9), AX
	MOVQ  AX, frame_xRow(DI)
	MOVL  tensor_params+params_eps(R11), AX
	MOVQ  AX, frame_eps(DI)

	MOVQ  $0, frame_t(DI)
	MOVQ  frame_tokens(DI), AX
	MOVQ  AX, frame_tEnd(DI)
	MOVQ  $0, frame_b(DI)
	MOVQ  frame_outNb(DI), BX
	MOVQ  BX, frame_bEnd(DI)
	CMPQ  AX, frame_threads(DI)
	JLT   blocks
	CALL  share<>(SB)
	MOVQ  AX, frame_t(DI)
	MOVQ  BX, frame_tEnd(DI)
	JMP   shared
blocks:
	MOVQ  BX, AX
	CALL  share<>(SB)
	MOVQ  AX, frame_b(DI)
	MOVQ  BX, frame_bEnd(DI)
shared:
	CMPQ  AX, BX
	JGE   out
	MOVQ  frame_texts(DI), AX
	MOVQ  tensor_src+8(R11), R9
	TESTQ R9, R9
	JEQ   plain
	MOVQ  tensor_data(R9), R9
	MOVQ  R9, frame_norm(DI)
	MOVQ  texts_normQuantise(AX), AX
	CALL  AX
	JMP   out
plain:
	MOVQ  texts_quantise(AX), AX
	CALL  AX
out:
	LEAVE

// product is Product with the instruction set AX.
TEXT product<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  tensor_src+8(DI), R8
	CALL  open<>(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  read<>(SB)
	MOVQ  tensor_src+0(R11), R9
	CALL  record<>(SB)
	MOVQ  AX, frame_record(DI)
	MOVQ  tensor_data(R9), AX
	MOVQ  AX, frame_weights(DI)
	MOVQ  tensor_nb+8(R9), AX
	SHLQ  $5, AX
	MOVQ  AX, frame_panelSize(DI)
	MOVQ  tensor_ne+8(R9), AX
	SHRQ  $5, AX
	MOVQ  AX, frame_panels(DI)
	MOVQ  tensor_data(R11), AX
	MOVQ  AX, frame_dst(DI)
	MOVQ  tensor_nb+8(R11), AX
	MOVQ  AX, frame_cRow(DI)
	XORL  AX, AX
	XORL  BX, BX
	MOVQ  tensor_src+16(R11), R9
	TESTQ R9, R9
	JEQ   alone
	MOVQ  tensor_data(R9), AX
	CMPQ  tensor_ne+8(R9), $1
	JEQ   alone                      // the same for all tokens
	MOVQ  tensor_nb+8(R9), BX
alone:
	MOVQ  AX, frame_residual(DI)
	MOVQ  BX, frame_resRow(DI)

	// Several panels are an item where the activations are too large for the second cache: a part of
	// them, 0.4 MB of 512 tokens, then serves the panels one after the other.
	MOVQ  $1, frame_most(DI)
	MOVQ  frame_nb(DI), AX
	CMPQ  AX, $const_partBlocks
	JLE   divided
	IMULQ frame_tiles(DI), AX
	CMPQ  AX, $const_cachedBlocks
	JLT   divided
	MOVQ  frame_panels(DI), AX       // at least 4 items for each thread
	SHRQ  $2, AX
	XORL  DX, DX
	DIVQ  frame_threads(DI)
	MOVL  $1, BX
	CMPQ  AX, BX
	CMOVQLT BX, AX
	MOVL  $const_mostPanels, BX
	CMPQ  AX, BX
	CMOVQGT BX, AX
	MOVQ  AX, frame_most(DI)
divided:
	MOVQ  $1, R12
	CALL  divide<>(SB)
	MOVQ  frame_texts(DI), AX
	MOVQ  texts_begin(AX), AX
	TESTQ AX, AX
	JEQ   next
	CALL  AX

next:
	CALL  take<>(SB)
	TESTQ AX, AX
	JEQ   finish
	MOVQ  frame_panel(DI), AX
	MOVQ  AX, BX
	IMULQ frame_panelSize(DI), AX
	ADDQ  frame_weights(DI), AX
	MOVQ  AX, frame_src(DI)
	SHLQ  $7, BX                     // 32 f32
	MOVQ  frame_tile0(DI), AX
	SHLQ  $4, AX
	MOVQ  AX, CX
	IMULQ frame_cRow(DI), AX
	ADDQ  BX, AX
	ADDQ  frame_dst(DI), AX
	MOVQ  AX, frame_result(DI)
	MOVQ  frame_residual(DI), AX
	TESTQ AX, AX
	JEQ   none
	IMULQ frame_resRow(DI), CX
	ADDQ  BX, AX
	ADDQ  CX, AX
none:
	MOVQ  AX, frame_addend(DI)
	MOVQ  frame_weights(DI), AX
	MOVQ  frame_panelSize(DI), BX
	CALL  follows<>(SB)
	CALL  panels<>(SB)
	JMP   next

finish:
	MOVQ  frame_texts(DI), AX
	MOVQ  texts_finish(AX), AX
	TESTQ AX, AX
	JEQ   out
	CALL  AX
out:
	LEAVE

// gateUp is GateUp with the instruction set AX.
TEXT gateUp<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  DI, R8
	CALL  open<>(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  written<>(SB)
	MOVLQSX tensor_params+params_rows(R11), AX
	SHRQ  $5, AX
	MOVQ  AX, frame_panels(DI)
	MOVQ  AX, frame_outNb(DI)
	MOVQ  tensor_src+16(R11), R8
	MOVQ  tensor_data(R8), R8
	ADDQ  $63, R8
	ANDQ  $-64, R8
	CALL  read<>(SB)

	MOVQ  tensor_src+0(R11), R9
	CALL  record<>(SB)
	MOVQ  AX, frame_gateRecord(DI)
	MOVQ  tensor_nb+8(R9), AX
	MOVLQSX tensor_params+params_gateRow(R11), BX
	IMULQ AX, BX
	ADDQ  tensor_data(R9), BX
	MOVQ  BX, frame_gate(DI)
	SHLQ  $5, AX
	MOVQ  AX, frame_gateSize(DI)
	MOVQ  tensor_src+8(R11), R9
	CALL  record<>(SB)
	MOVQ  AX, frame_upRecord(DI)
	MOVQ  tensor_nb+8(R9), AX
	MOVLQSX tensor_params+params_upRow(R11), BX
	IMULQ AX, BX
	ADDQ  tensor_data(R9), BX
	MOVQ  BX, frame_up(DI)
	SHLQ  $5, AX
	MOVQ  AX, frame_upSize(DI)

	MOVQ  tensor_src+24(R11), R9     // none, or the gate's and that of up
	MOVQ  tensor_src+32(R11), R10
	XORL  AX, AX
	XORL  BX, BX
	TESTQ R9, R9
	JEQ   unbiased
	MOVQ  tensor_data(R9), AX
	MOVQ  tensor_data(R10), BX
unbiased:
	MOVQ  AX, frame_gateBias(DI)
	MOVQ  BX, frame_upBias(DI)
	MOVWQSX tensor_params+params_glu(R11), AX
	MOVQ  AX, frame_glu(DI)
	CALL  ·itemBuffers(SB)

	MOVQ  frame_tiles(DI), R12       // chunks of at most passTokens tokens
	ADDQ  $(const_passTokens/const_tileTokens-1), R12
	SHRQ  $5, R12
	MOVQ  $1, frame_most(DI)
	CALL  divide<>(SB)
	MOVQ  frame_texts(DI), AX
	MOVQ  texts_begin(AX), AX
	TESTQ AX, AX
	JEQ   next
	CALL  AX

next:
	CALL  take<>(SB)
	TESTQ AX, AX
	JEQ   finish
	MOVQ  frame_gateRecord(DI), AX
	MOVQ  AX, frame_record(DI)
	MOVQ  frame_panel(DI), AX
	MOVQ  AX, frame_b(DI)
	IMULQ frame_gateSize(DI), AX
	ADDQ  frame_gate(DI), AX
	MOVQ  AX, frame_src(DI)
	MOVQ  frame_gates(DI), AX
	MOVQ  AX, frame_result(DI)
	MOVQ  frame_gateBias(DI), AX
	CALL  addBias<>(SB)
	MOVQ  frame_panel(DI), AX
	IMULQ frame_upSize(DI), AX
	ADDQ  frame_up(DI), AX
	MOVQ  AX, frame_following(DI)
	CALL  weights<>(SB)
	MOVQ  frame_upRecord(DI), AX
	MOVQ  AX, frame_record(DI)
	MOVQ  frame_panel(DI), AX
	IMULQ frame_upSize(DI), AX
	ADDQ  frame_up(DI), AX
	MOVQ  AX, frame_src(DI)
	MOVQ  frame_ups(DI), AX
	MOVQ  AX, frame_result(DI)
	MOVQ  frame_upBias(DI), AX
	CALL  addBias<>(SB)
	MOVQ  frame_gate(DI), AX
	MOVQ  frame_gateSize(DI), BX
	CALL  follows<>(SB)
	CALL  weights<>(SB)
	CALL  ·gatedUnit(SB)
	JMP   next

finish:
	MOVQ  frame_texts(DI), AX
	MOVQ  texts_finish(AX), AX
	TESTQ AX, AX
	JEQ   out
	CALL  AX
out:
	LEAVE

// addBias makes the rows of the panel at hand in the bias AX, if it is not 0, what is added to the next
// product.
TEXT addBias<>(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ AX, AX
	JEQ   none
	MOVQ  frame_panel(DI), BX
	SHLQ  $7, BX                     // 32 f32
	ADDQ  BX, AX
none:
	MOVQ  AX, frame_addend(DI)
	RET

// gatedUnit quantises what the operation's gated linear unit makes of the item's results for gate and
// up.
TEXT ·gatedUnit(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_tile0(DI), AX
	SHLQ  $4, AX
	MOVQ  AX, frame_t(DI)
	MOVQ  frame_tile1(DI), AX
	SHLQ  $4, AX
	CMPQ  AX, frame_tokens(DI)
	CMOVQGT frame_tokens(DI), AX
	MOVQ  AX, frame_tEnd(DI)
	MOVQ  frame_texts(DI), AX
	MOVQ  frame_glu(DI), BX
	MOVQ  texts_glus(AX)(BX*8), AX
	JMP   AX

// itemBuffers finds the buffers of an item's results for the gate and up, which lie behind the panel's
// expanded part: see layout.go.
TEXT ·itemBuffers(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_scratch(DI), AX
	MOVQ  frame_tokens(DI), CX
	CMPQ  CX, $const_fewTokens
	JLE   buffers
	MOVQ  frame_nb(DI), BX
	MOVQ  $const_partBlocks, DX
	CMPQ  BX, DX
	CMOVQGT DX, BX
	IMULQ $const_expandedSize, BX
	ADDQ  BX, AX
buffers:
	MOVQ  AX, frame_gates(DI)
	MOVQ  $const_passTokens, DX
	CMPQ  CX, DX
	CMOVQGT DX, CX
	SHLQ  $7, CX
	ADDQ  CX, AX
	MOVQ  AX, frame_ups(DI)
	MOVQ  $128, frame_cRow(DI)
	MOVQ  $0, frame_addend(DI)
	MOVQ  $0, frame_resRow(DI)
	RET

// open makes DI this thread's frame, among those in tensor R8, and R8 the tensor's base; R11 is the
// operation's result. DI is 0 if there is no frame: the other threads do the work.
TEXT open<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ    DI, R11
	MOVLQSX SI, SI
	MOVLQSX DX, DX
	MOVLQSX tensor_params+params_threads(R11), R9
	CMPQ    DX, R9
	CMOVQGT R9, DX
	XORL    DI, DI
	CMPQ    SI, DX
	JGE     none
	MOVQ    tensor_data(R8), R8
	ADDQ    $63, R8
	ANDQ    $-64, R8
	MOVLQSX tensor_params+params_frames(R11), DI
	MOVLQSX tensor_params+params_frameSize(R11), R10
	IMULQ   SI, R10
	ADDQ    R10, DI
	SHLQ    $6, DI
	ADDQ    R8, DI
	MOVQ    R11, frame_tensor(DI)
	MOVQ    SI, frame_thread(DI)
	MOVQ    DX, frame_threads(DI)
	MOVQ    AX, frame_isa(DI)
	CALL    ·choose(SB)
	LEAQ    const_frameRoom(DI), AX
	MOVQ    AX, frame_scratch(DI)
	MOVLQSX tensor_params+params_tokens(R11), AX
	MOVQ    AX, frame_tokens(DI)
	ADDQ    $15, AX
	SHRQ    $4, AX
	MOVQ    AX, frame_tiles(DI)
none:
	RET

// written fills the frame with the activations at R8, which the operation writes. The first thread
// sets their counters to zero.
TEXT written<>(SB), NOSPLIT|NOFRAME, $0-0
	LEAQ    const_tilesOffset(R8), AX
	MOVQ    AX, frame_out(DI)
	CMPQ    frame_thread(DI), $0
	JNE     done
	VPXOR   Y0, Y0, Y0
	VMOVDQU Y0, 0(R8)
	VMOVDQU Y0, 32(R8)
	VMOVDQU Y0, 64(R8)
	VMOVDQU Y0, 96(R8)
done:
	RET

// read fills the frame with the activations at R8, which the operation reads.
TEXT read<>(SB), NOSPLIT|NOFRAME, $0-0
	LEAQ    const_tilesOffset(R8), AX
	MOVQ    AX, frame_acts(DI)
	MOVWQSX tensor_params+params_counter(R11), AX
	LEAQ    (R8)(AX*4), AX
	MOVQ    AX, frame_counter(DI)
	MOVLQSX tensor_params+params_in(R11), AX
	SHRQ    $5, AX
	MOVQ    AX, frame_nb(DI)
	RET

// record returns in AX the record for the type of tensor R9.
TEXT record<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVLQSX tensor_typ(R9), AX
	IMULQ   $record__size, AX
	ADDQ    $texts__size, AX
	ADDQ    frame_texts(DI), AX
	RET

// share returns the thread's share of AX things: from AX on, up to BX.
TEXT share<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  AX, CX
	MOVQ  frame_thread(DI), AX
	INCQ  AX
	IMULQ CX, AX
	XORL  DX, DX
	DIVQ  frame_threads(DI)
	MOVQ  AX, BX
	MOVQ  frame_thread(DI), AX
	IMULQ CX, AX
	XORL  DX, DX
	DIVQ  frame_threads(DI)
	RET

// divide divides the work: with few tokens into shares of panels, and otherwise into items of up to
// most panels, at least R12 for the same panels, and at least 4 for a thread if there are enough tiles.
// Of the items it reserves the thread's first one.
TEXT divide<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_panels(DI), AX
	CALL  share<>(SB)
	MOVQ  AX, frame_next(DI)
	MOVQ  BX, frame_end(DI)
	MOVQ  frame_most(DI), BX
	MOVQ  frame_panels(DI), AX
	LEAQ  -1(AX)(BX*1), AX
	XORL  DX, DX
	DIVQ  BX
	MOVQ  AX, BX                     // groups of panels
	MOVQ  frame_threads(DI), AX
	SHLQ  $2, AX
	LEAQ  -1(AX)(BX*1), AX
	XORL  DX, DX
	DIVQ  BX
	CMPQ  AX, R12
	CMOVQLT R12, AX
	CMPQ  AX, frame_tiles(DI)
	CMOVQGT frame_tiles(DI), AX
	MOVQ  AX, frame_chunks(DI)
	IMULQ BX, AX
	MOVQ  AX, frame_items(DI)
	CMPQ  frame_tokens(DI), $const_fewTokens
	JLE   done
	CALL  count<>(SB)
	MOVQ  AX, frame_reserved(DI)
done:
	RET

// count returns in AX the number of an item that no thread has.
TEXT count<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_counter(DI), BX
	MOVL  $1, AX
	LOCK
	XADDL AX, 0(BX)
	RET

// take takes an item: panel, count, tile0 and tile1. AX is 0 if there is none left. A thread of many
// tokens reserves the next item at the same time, so that it can prefetch the first panel of it.
TEXT take<>(SB), NOSPLIT|NOFRAME, $0-0
	CMPQ  frame_tokens(DI), $const_fewTokens
	JG    many
	MOVQ  frame_next(DI), AX
	CMPQ  AX, frame_end(DI)
	JGE   none
	INCQ  frame_next(DI)
	MOVQ  AX, frame_panel(DI)
	MOVQ  $1, frame_count(DI)
	MOVQ  $0, frame_tile0(DI)
	MOVQ  $1, frame_tile1(DI)
	MOVL  $1, AX
	RET
many:
	MOVQ  frame_reserved(DI), R8
	CMPQ  R8, frame_items(DI)
	JGE   none
	CALL  count<>(SB)
	MOVQ  AX, frame_reserved(DI)
	MOVQ  frame_chunks(DI), CX
	MOVQ  $-1, BX
	CMPQ  AX, frame_items(DI)
	JGE   end
	XORL  DX, DX
	DIVQ  CX
	IMULQ frame_most(DI), AX
	MOVQ  AX, BX
end:
	MOVQ  BX, frame_nextPanel(DI)
	MOVQ  R8, AX
	XORL  DX, DX
	DIVQ  CX
	MOVQ  frame_most(DI), R9
	IMULQ R9, AX
	MOVQ  AX, frame_panel(DI)
	SUBQ  frame_panels(DI), AX
	NEGQ  AX
	CMPQ  AX, R9
	CMOVQGT R9, AX
	MOVQ  AX, frame_count(DI)
	MOVQ  DX, BX
	MOVQ  frame_tiles(DI), AX
	IMULQ BX, AX
	XORL  DX, DX
	DIVQ  CX
	MOVQ  AX, frame_tile0(DI)
	INCQ  BX
	MOVQ  frame_tiles(DI), AX
	IMULQ BX, AX
	XORL  DX, DX
	DIVQ  CX
	MOVQ  AX, frame_tile1(DI)
	MOVL  $1, AX
	RET
none:
	XORL  AX, AX
	RET

// follows sets following to the panel of the thread's next item, of those of BX bytes that begin at AX.
TEXT follows<>(SB), NOSPLIT|NOFRAME, $0-0
	XORL  DX, DX
	MOVQ  frame_nextPanel(DI), CX
	IMULQ CX, BX
	ADDQ  BX, AX
	TESTQ CX, CX
	CMOVQLT DX, AX
	MOVQ  AX, frame_following(DI)
	RET

// What experts_entry_amd64.s shares.

TEXT ·openFrame(SB), NOSPLIT|NOFRAME, $0-0
	JMP open<>(SB)

TEXT ·readActivations(SB), NOSPLIT|NOFRAME, $0-0
	JMP read<>(SB)

TEXT ·writtenActivations(SB), NOSPLIT|NOFRAME, $0-0
	JMP written<>(SB)

TEXT ·recordOf(SB), NOSPLIT|NOFRAME, $0-0
	JMP record<>(SB)

TEXT ·shareOf(SB), NOSPLIT|NOFRAME, $0-0
	JMP share<>(SB)

TEXT ·panelTimesTokens(SB), NOSPLIT|NOFRAME, $0-0
	JMP weights<>(SB)

// weights computes result, the product of the panel at src and the tokens of tiles tile0 to tile1,
// and adds addend to it.
TEXT weights<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  $1, frame_count(DI)
	JMP   panels<>(SB)

// panels is weights of count panels, whose results lie beside each other.
TEXT panels<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_record(DI), R8
	CMPQ  frame_tokens(DI), $const_fewTokens
	JG    many
	MOVQ  frame_acts(DI), AX
	MOVQ  AX, frame_q(DI)
	MOVQ  frame_result(DI), AX
	MOVQ  AX, frame_c(DI)
	MOVQ  frame_addend(DI), AX
	MOVQ  AX, frame_res(DI)
	MOVQ  frame_nb(DI), AX
	MOVQ  record_unitBlocks(R8), CX
	SHRQ  CX, AX
	MOVQ  AX, frame_units(DI)
	MOVQ  frame_tokens(DI), AX
	MOVQ  record_few-8(R8)(AX*8), AX
	JMP   AX

	// Parts of the panels, each of which is expanded and used by all tokens.
many:
	MOVQ  frame_tile1(DI), CX
	SUBQ  frame_tile0(DI), CX
	MOVQ  frame_tokens(DI), AX
	MOVQ  $const_tileTokens, BX
	CMPQ  AX, BX
	CMOVQGT BX, AX
	MOVQ  frame_texts(DI), BX
	IMULQ texts_passes-8(BX)(AX*8), CX
	INCQ  CX                         // how often the functions go through an expanded part
	MOVQ  record_lines(R8), AX
	LEAQ  -1(AX)(CX*1), AX
	XORL  DX, DX
	DIVQ  CX
	MOVQ  AX, frame_share(DI)
	MOVQ  $0, frame_k(DI)
part:
	MOVQ  frame_record(DI), R8
	MOVQ  frame_nb(DI), AX
	SUBQ  frame_k(DI), AX
	MOVQ  $const_partBlocks, BX
	CMPQ  AX, BX
	CMOVQGT BX, AX
	MOVQ  AX, frame_kn(DI)
	MOVQ  record_unitBlocks(R8), CX
	SHRQ  CX, AX
	MOVQ  AX, frame_units(DI)
	MOVQ  $0, frame_nth(DI)
panel:
	CALL  coming<>(SB)
	MOVQ  frame_record(DI), R8
	MOVQ  record_expand(R8), AX
	CALL  AX
	MOVQ  frame_tile0(DI), AX
	MOVQ  AX, frame_tile(DI)

tile:
	MOVQ  frame_record(DI), R8
	MOVQ  frame_tile(DI), AX
	MOVQ  AX, BX
	SHLQ  $4, BX
	MOVQ  frame_tokens(DI), CX
	SUBQ  BX, CX
	MOVQ  $const_tileTokens, DX
	CMPQ  CX, DX
	CMOVQGT DX, CX                   // tokens of the tile
	MOVQ  CX, frame_left(DI)
	LEAQ  (CX*4), DX
	MOVQ  DX, frame_n4(DI)
	IMULQ frame_nb(DI), AX
	IMULQ $(const_tileTokens*const_tokenBlock), AX
	ADDQ  frame_acts(DI), AX
	LEAQ  (DX)(DX*2), DX
	SHLQ  $2, DX                     // bytes of a block
	IMULQ frame_k(DI), DX
	ADDQ  DX, AX
	MOVQ  AX, frame_q(DI)
	SHLQ  $5, CX
	ADDQ  CX, AX
	MOVQ  AX, frame_d(DI)
	MOVQ  frame_tile0(DI), AX
	SHLQ  $4, AX
	SUBQ  AX, BX                     // tokens of the item before
	MOVQ  BX, AX
	IMULQ frame_cRow(DI), AX
	ADDQ  frame_result(DI), AX
	MOVQ  AX, frame_c(DI)
	XORL  AX, AX
	MOVQ  frame_k(DI), CX
	ADDQ  frame_kn(DI), CX
	CMPQ  CX, frame_nb(DI)
	JLT   sum                        // there are further parts
	MOVQ  frame_addend(DI), AX
	TESTQ AX, AX
	JEQ   sum
	IMULQ frame_resRow(DI), BX
	ADDQ  BX, AX
sum:
	MOVQ  AX, frame_res(DI)
	MOVQ  record_tile(R8), AX
	CALL  AX
	MOVQ  frame_coming(DI), AX
	CMPQ  AX, frame_comingEnd(DI)
	JLT   further
	MOVQ  $0, frame_lines(DI)
further:
	INCQ  frame_tile(DI)
	MOVQ  frame_tile(DI), AX
	CMPQ  AX, frame_tile1(DI)
	JLT   tile
	MOVL  $1, CX
	INCQ  frame_nth(DI)
	MOVQ  frame_nth(DI), AX
	CMPQ  AX, frame_count(DI)
	JGE   first
	CALL  move<>(SB)
	JMP   panel

first:
	MOVQ  $1, CX
	SUBQ  frame_count(DI), CX
	CALL  move<>(SB)                 // back to the first panel, of which the next part is next
	MOVQ  frame_record(DI), R8
	MOVQ  frame_units(DI), AX
	IMULQ record_unitSize(R8), AX
	ADDQ  AX, frame_src(DI)
	MOVQ  frame_kn(DI), AX
	ADDQ  frame_k(DI), AX
	MOVQ  AX, frame_k(DI)
	CMPQ  AX, frame_nb(DI)
	JLT   part
	RET

// coming sets what is prefetched while the part of the panel at hand is expanded and multiplied: the
// part that the thread reads next, of as many bytes as this one. Nothing is if that is not known.
TEXT coming<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_record(DI), R8
	MOVQ  frame_units(DI), AX
	IMULQ record_unitSize(R8), AX
	MOVQ  frame_src(DI), BX
	MOVQ  frame_count(DI), CX
	DECQ  CX
	CMPQ  frame_nth(DI), CX
	JGE   last
	ADDQ  frame_panelSize(DI), BX
	JMP   known
last:
	IMULQ frame_panelSize(DI), CX
	SUBQ  CX, BX
	ADDQ  AX, BX                     // the next part of the first panel
	MOVQ  frame_k(DI), CX
	ADDQ  frame_kn(DI), CX
	CMPQ  CX, frame_nb(DI)
	CMOVQGE frame_following(DI), BX
known:
	MOVQ  BX, frame_coming(DI)
	ADDQ  BX, AX
	MOVQ  AX, frame_comingEnd(DI)
	XORL  CX, CX
	TESTQ BX, BX
	CMOVQNE frame_share(DI), CX
	MOVQ  CX, frame_lines(DI)
	RET

// move goes CX panels further.
TEXT move<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ  frame_panelSize(DI), AX
	IMULQ CX, AX
	ADDQ  AX, frame_src(DI)
	SHLQ  $7, CX                     // 32 f32
	ADDQ  CX, frame_result(DI)
	CMPQ  frame_addend(DI), $0
	JEQ   none
	ADDQ  CX, frame_addend(DI)
none:
	RET

// tile computes the tokens left of a tile, in groups of up to 6 of about the same size.
TEXT ·tile(SB), NOSPLIT|NOFRAME, $0-0
group:
	LEAQ    sizes<>(SB), AX
	MOVQ    frame_left(DI), BX
	MOVBQZX (AX)(BX*1), BX
	MOVQ    BX, frame_size(DI)
	MOVQ    frame_record(DI), AX
	MOVQ    record_group-8(AX)(BX*8), AX
	CALL    AX
	MOVQ    frame_size(DI), BX
	MOVQ    BX, AX
	SHLQ    $5, AX
	ADDQ    AX, frame_q(DI)
	LEAQ    (BX*4), AX
	ADDQ    AX, frame_d(DI)
	MOVQ    frame_cRow(DI), AX
	IMULQ   BX, AX
	ADDQ    AX, frame_c(DI)
	CMPQ    frame_res(DI), $0
	JEQ     alone
	MOVQ    frame_resRow(DI), AX
	IMULQ   BX, AX
	ADDQ    AX, frame_res(DI)
alone:
	SUBQ    BX, frame_left(DI)
	JGT     group
	RET

// sizes has the size of the next group for each number of tokens left.
DATA sizes<>+0(SB)/8, $0x0406050403020100
DATA sizes<>+8(SB)/8, $0x0505050606050504
DATA sizes<>+16(SB)/1, $6
GLOBL sizes<>(SB), RODATA|NOPTR, $17

// func vnniAddresses() (quantise, normQuantise, product, gateUp uintptr)
TEXT ·vnniAddresses(SB), NOSPLIT, $0-32
	LEAQ ·opQuantiseVNNI(SB), AX
	MOVQ AX, quantise+0(FP)
	LEAQ ·opNormQuantiseVNNI(SB), AX
	MOVQ AX, normQuantise+8(FP)
	LEAQ ·opProductVNNI(SB), AX
	MOVQ AX, product+16(FP)
	LEAQ ·opGateUpVNNI(SB), AX
	MOVQ AX, gateUp+24(FP)
	RET

// func avx2Addresses() (quantise, normQuantise, product, gateUp uintptr)
TEXT ·avx2Addresses(SB), NOSPLIT, $0-32
	LEAQ ·opQuantiseAVX2(SB), AX
	MOVQ AX, quantise+0(FP)
	LEAQ ·opNormQuantiseAVX2(SB), AX
	MOVQ AX, normQuantise+8(FP)
	LEAQ ·opProductAVX2(SB), AX
	MOVQ AX, product+16(FP)
	LEAQ ·opGateUpAVX2(SB), AX
	MOVQ AX, gateUp+24(FP)
	RET

// func avxVNNIAddresses() (quantise, normQuantise, product, gateUp uintptr)
TEXT ·avxVNNIAddresses(SB), NOSPLIT, $0-32
	LEAQ ·opQuantiseAVXVNNI(SB), AX
	MOVQ AX, quantise+0(FP)
	LEAQ ·opNormQuantiseAVXVNNI(SB), AX
	MOVQ AX, normQuantise+8(FP)
	LEAQ ·opProductAVXVNNI(SB), AX
	MOVQ AX, product+16(FP)
	LEAQ ·opGateUpAVXVNNI(SB), AX
	MOVQ AX, gateUp+24(FP)
	RET

// func amxAddresses() (product, gateUp uintptr)
TEXT ·amxAddresses(SB), NOSPLIT, $0-16
	LEAQ ·opProductAMX(SB), AX
	MOVQ AX, product+0(FP)
	LEAQ ·opGateUpAMX(SB), AX
	MOVQ AX, gateUp+8(FP)
	RET
