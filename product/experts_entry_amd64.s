//go:build amd64 && !windows

#include "entry_amd64.h"
#include "go_asm.h"
#include "textflag.h"

// The products of mixtures, as entry_amd64.s describes the others. They take items from the table of
// the mixture: a group's tokens and one panel of its expert. In the frame, a group looks like the
// activations of other products.

// What a thread keeps of a mixture, behind the struct frame.
#define mix_acts (const_mixtureAt+mixtureFrame_acts)(DI)
#define mix_out (const_mixtureAt+mixtureFrame_out)(DI)
#define mix_groups (const_mixtureAt+mixtureFrame_groups)(DI)
#define mix_group (const_mixtureAt+mixtureFrame_group)(DI)
#define mix_most (const_mixtureAt+mixtureFrame_most)(DI)
#define mix_bias (const_mixtureAt+mixtureFrame_bias)(DI)
#define mix_biasRow (const_mixtureAt+mixtureFrame_biasRow)(DI)
#define mix_upBiasRow (const_mixtureAt+mixtureFrame_upBiasRow)(DI)
#define mix_gateExpert (const_mixtureAt+mixtureFrame_gateExpert)(DI)
#define mix_upExpert (const_mixtureAt+mixtureFrame_upExpert)(DI)
#define mix_record (const_mixtureAt+mixtureFrame_record)(DI)
#define mix_upRecord (const_mixtureAt+mixtureFrame_upRecord)(DI)
#define mix_large (const_mixtureAt+mixtureFrame_large)(DI)
#define mix_small (const_mixtureAt+mixtureFrame_small)(DI)

TEXT ·opExpertProductVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  expertProduct<>(SB)

TEXT ·opExpertGateUpVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  expertGateUp<>(SB)

TEXT ·opQuantiseGroupedVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $0, AX
	JMP  quantiseGrouped<>(SB)

TEXT ·opExpertProductAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  expertProduct<>(SB)

TEXT ·opExpertGateUpAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  expertGateUp<>(SB)

TEXT ·opQuantiseGroupedAVX2(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $1, AX
	JMP  quantiseGrouped<>(SB)

TEXT ·opExpertProductAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  expertProduct<>(SB)

TEXT ·opExpertGateUpAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  expertGateUp<>(SB)

TEXT ·opQuantiseGroupedAVXVNNI(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $2, AX
	JMP  quantiseGrouped<>(SB)

TEXT ·opExpertProductAMX(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $3, AX
	JMP  expertProduct<>(SB)

TEXT ·opExpertGateUpAMX(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $3, AX
	JMP  expertGateUp<>(SB)

// expertProduct is ExpertProduct with the instruction set AX.
TEXT expertProduct<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  tensor_src+8(DI), R8
	CALL  ·openFrame(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  ·readActivations(SB)
	MOVQ  frame_acts(DI), AX
	MOVQ  AX, mix_acts
	MOVQ  tensor_src+0(R11), R9
	CALL  ·recordOf(SB)
	SUBQ  frame_texts(DI), AX
	MOVQ  AX, mix_record
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
	MOVQ  tensor_src+24(R11), R9
	TESTQ R9, R9
	JEQ   unbiased
	MOVQ  tensor_data(R9), AX
	MOVQ  tensor_nb+8(R9), BX
unbiased:
	MOVQ  AX, mix_bias
	MOVQ  BX, mix_biasRow
	MOVQ  $0, frame_resRow(DI)       // the same for all of a group's pairs
	MOVQ  tensor_src+16(R11), R9
	CALL  divideGroups<>(SB)
	CALL  beginLarge<>(SB)

next:
	CALL  takeOfGroup<>(SB)
	TESTQ AX, AX
	JEQ   finish
	MOVQ  mix_record, AX
	ADDQ  frame_texts(DI), AX
	MOVQ  AX, frame_record(DI)
	MOVL  group_expert(R9), AX
	MOVQ  AX, CX
	IMULQ frame_panels(DI), AX
	MOVQ  frame_panel(DI), BX
	ADDQ  BX, AX
	IMULQ frame_panelSize(DI), AX
	ADDQ  frame_weights(DI), AX
	MOVQ  AX, frame_src(DI)
	SHLQ  $7, BX                     // 32 f32
	MOVL  group_first(R9), AX
	IMULQ frame_cRow(DI), AX
	ADDQ  BX, AX
	ADDQ  frame_dst(DI), AX
	MOVQ  AX, frame_result(DI)
	IMULQ mix_biasRow, CX
	MOVQ  mix_bias, AX
	CALL  addExpertsBias<>(SB)
	MOVQ  $0, frame_following(DI)
	CALL  ·panelTimesTokens(SB)
	JMP   next

finish:
	CALL  finishLarge<>(SB)
out:
	LEAVE

// expertGateUp is ExpertGateUp with the instruction set AX.
TEXT expertGateUp<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  DI, R8
	CALL  ·openFrame(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  ·writtenActivations(SB)
	MOVQ  frame_out(DI), AX
	MOVQ  AX, mix_out
	MOVLQSX tensor_params+expertParams_rows(R11), AX
	SHRQ  $5, AX
	MOVQ  AX, frame_panels(DI)
	MOVQ  AX, frame_outNb(DI)
	MOVQ  tensor_src+16(R11), R8
	MOVQ  tensor_data(R8), R8
	ADDQ  $63, R8
	ANDQ  $-64, R8
	CALL  ·readActivations(SB)
	MOVQ  frame_acts(DI), AX
	MOVQ  AX, mix_acts

	MOVQ  tensor_src+0(R11), R9
	CALL  ·recordOf(SB)
	SUBQ  frame_texts(DI), AX
	MOVQ  AX, mix_record
	MOVQ  tensor_nb+8(R9), AX
	MOVLQSX tensor_params+expertParams_gateRow(R11), BX
	IMULQ AX, BX
	ADDQ  tensor_data(R9), BX
	MOVQ  BX, frame_gate(DI)
	SHLQ  $5, AX
	MOVQ  AX, frame_gateSize(DI)
	MOVQ  tensor_nb+16(R9), AX
	MOVQ  AX, mix_gateExpert
	MOVQ  tensor_src+8(R11), R9
	CALL  ·recordOf(SB)
	SUBQ  frame_texts(DI), AX
	MOVQ  AX, mix_upRecord
	MOVQ  tensor_nb+8(R9), AX
	MOVLQSX tensor_params+expertParams_upRow(R11), BX
	IMULQ AX, BX
	ADDQ  tensor_data(R9), BX
	MOVQ  BX, frame_up(DI)
	SHLQ  $5, AX
	MOVQ  AX, frame_upSize(DI)
	MOVQ  tensor_nb+16(R9), AX
	MOVQ  AX, mix_upExpert
	MOVQ  tensor_src+32(R11), R9     // none, or the gate's and that of up
	MOVQ  tensor_src+40(R11), R10
	XORL  AX, AX
	XORL  BX, BX
	TESTQ R9, R9
	JEQ   unbiased
	MOVQ  tensor_nb+8(R9), AX
	MOVQ  AX, mix_biasRow
	MOVQ  tensor_nb+8(R10), AX
	MOVQ  AX, mix_upBiasRow
	MOVQ  tensor_data(R9), AX
	MOVQ  tensor_data(R10), BX
unbiased:
	MOVQ  AX, frame_gateBias(DI)
	MOVQ  BX, frame_upBias(DI)
	MOVWQSX tensor_params+expertParams_glu(R11), AX
	MOVQ  AX, frame_glu(DI)
	CALL  ·itemBuffers(SB)
	MOVQ  tensor_src+24(R11), R9
	CALL  divideGroups<>(SB)
	CALL  beginLarge<>(SB)

next:
	CALL  takeOfGroup<>(SB)
	TESTQ AX, AX
	JEQ   finish
	MOVL  group_slot(R9), AX
	IMULQ frame_outNb(DI), AX
	IMULQ $const_tokenBlock, AX
	ADDQ  mix_out, AX
	MOVQ  AX, frame_out(DI)
	MOVQ  R9, mix_group
	MOVQ  frame_panel(DI), AX
	MOVQ  AX, frame_b(DI)

	// At most passTokens tokens at a time.
pass:
	MOVQ  frame_tiles(DI), AX
	MOVQ  frame_tile0(DI), BX
	ADDQ  $(const_passTokens/const_tileTokens), BX
	CMPQ  BX, AX
	CMOVQGT AX, BX
	MOVQ  BX, frame_tile1(DI)
	MOVQ  mix_group, R9
	MOVQ  mix_record, AX
	ADDQ  frame_texts(DI), AX
	MOVQ  AX, frame_record(DI)
	MOVL  group_expert(R9), BX
	IMULQ mix_gateExpert, BX
	MOVQ  frame_panel(DI), AX
	IMULQ frame_gateSize(DI), AX
	ADDQ  BX, AX
	ADDQ  frame_gate(DI), AX
	MOVQ  AX, frame_src(DI)
	MOVQ  frame_gates(DI), AX
	MOVQ  AX, frame_result(DI)
	MOVL  group_expert(R9), CX
	IMULQ mix_biasRow, CX
	MOVQ  frame_gateBias(DI), AX
	CALL  addExpertsBias<>(SB)
	MOVQ  $0, frame_following(DI)
	CALL  ·panelTimesTokens(SB)
	MOVQ  mix_group, R9
	MOVQ  mix_upRecord, AX
	ADDQ  frame_texts(DI), AX
	MOVQ  AX, frame_record(DI)
	MOVL  group_expert(R9), BX
	IMULQ mix_upExpert, BX
	MOVQ  frame_panel(DI), AX
	IMULQ frame_upSize(DI), AX
	ADDQ  BX, AX
	ADDQ  frame_up(DI), AX
	MOVQ  AX, frame_src(DI)
	MOVQ  frame_ups(DI), AX
	MOVQ  AX, frame_result(DI)
	MOVL  group_expert(R9), CX
	IMULQ mix_upBiasRow, CX
	MOVQ  frame_upBias(DI), AX
	CALL  addExpertsBias<>(SB)
	CALL  ·panelTimesTokens(SB)
	CALL  ·gatedUnit(SB)
	MOVQ  frame_tile1(DI), AX
	MOVQ  AX, frame_tile0(DI)
	CMPQ  AX, frame_tiles(DI)
	JLT   pass
	JMP   next

finish:
	CALL  finishLarge<>(SB)
out:
	LEAVE

// addExpertsBias makes the rows of the panel at hand in the bias AX, if it is not 0, what is added to the
// next product. CX is how far an expert's rows are behind the first one's.
TEXT addExpertsBias<>(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ AX, AX
	JEQ   none
	MOVQ  frame_panel(DI), BX
	SHLQ  $7, BX                     // 32 f32
	ADDQ  BX, AX
	ADDQ  CX, AX
none:
	MOVQ  AX, frame_addend(DI)
	RET

// quantiseGrouped is QuantiseGrouped with the instruction set AX. Threads divide the positions.
TEXT quantiseGrouped<>(SB), NOSPLIT|NOFRAME, $0-0
	ENTER
	MOVQ  DI, R8
	CALL  ·openFrame(SB)
	TESTQ DI, DI
	JEQ   out
	CALL  ·writtenActivations(SB)
	MOVQ  frame_out(DI), AX
	MOVQ  AX, mix_out
	MOVLQSX tensor_params+expertParams_in(R11), AX
	SHRQ  $5, AX
	MOVQ  AX, frame_outNb(DI)
	MOVQ  AX, frame_bEnd(DI)
	MOVQ  $0, frame_b(DI)
	MOVQ  tensor_src+0(R11), R9
	MOVQ  tensor_data(R9), AX
	MOVQ  AX, frame_dst(DI)
	MOVQ  tensor_nb+8(R9), AX
	MOVQ  AX, frame_xRow(DI)
	MOVQ  frame_tokens(DI), AX
	CALL  ·shareOf(SB)
	MOVQ  AX, frame_next(DI)
	MOVQ  BX, frame_end(DI)
	MOVQ  tensor_src+8(R11), R9
	CALL  tableOfMixture<>(SB)
	MOVQ  BX, mix_group
	MOVQ  CX, mix_groups

group:
	MOVQ  mix_group, R9
	DECQ  mix_groups
	JLT   out
	ADDQ  $group__size, mix_group
	MOVL  group_first(R9), CX
	MOVL  group_pairs(R9), DX
	MOVQ  DX, frame_tokens(DI)
	MOVQ  frame_next(DI), AX
	SUBQ  CX, AX
	XORL  BX, BX
	CMPQ  AX, BX
	CMOVQLT BX, AX
	MOVQ  frame_end(DI), BX
	SUBQ  CX, BX
	CMPQ  BX, DX
	CMOVQGT DX, BX
	CMPQ  AX, BX
	JGE   group
	MOVQ  AX, frame_t(DI)
	MOVQ  BX, frame_tEnd(DI)
	IMULQ frame_xRow(DI), CX
	ADDQ  frame_dst(DI), CX
	MOVQ  CX, frame_x(DI)
	MOVL  group_slot(R9), AX
	IMULQ frame_outNb(DI), AX
	IMULQ $const_tokenBlock, AX
	ADDQ  mix_out, AX
	MOVQ  AX, frame_out(DI)
	MOVQ  frame_texts(DI), AX
	MOVQ  texts_quantise(AX), AX
	CALL  AX
	JMP   group
out:
	LEAVE

// tableOfMixture returns the table's groups at BX, how many there are in CX, and the pairs of the
// largest in DX. The table is behind the activations R9, and R11 is the operation's result.
TEXT tableOfMixture<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ    tensor_data(R9), BX
	ADDQ    $63, BX
	ANDQ    $-64, BX
	MOVLQSX tensor_params+expertParams_table(R11), AX
	SHLQ    $6, AX
	ADDQ    AX, BX
	MOVL    0(BX), CX
	MOVL    4(BX), DX
	MOVLQSX tensor_params+expertParams_tokens(R11), AX
	LEAQ    63(AX*4), AX
	ANDQ    $-64, AX
	LEAQ    const_tableHead(BX)(AX*1), BX
	RET

// beginLarge finds the functions for groups of few and of many pairs. Those for many are AMX's, if there
// is AMX: it calls what must be called before them if there is a group of so many.
TEXT beginLarge<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ frame_texts(DI), AX
	MOVQ AX, mix_large
	MOVQ AX, mix_small
	CMPQ frame_isa(DI), $3
	JNE  done
	MOVQ $0, frame_isa(DI)         // VNNI
	CALL ·choose(SB)
	MOVQ frame_texts(DI), AX
	MOVQ AX, mix_small
	CMPQ mix_most, $const_amxTokens
	JLT  done
	MOVQ mix_large, AX
	MOVQ texts_begin(AX), AX
	JMP  AX
done:
	RET

// finishLarge calls what must be called after the functions for groups of many pairs.
TEXT finishLarge<>(SB), NOSPLIT|NOFRAME, $0-0
	CMPQ  mix_most, $const_amxTokens
	JLT   done
	MOVQ  mix_large, AX
	MOVQ  texts_finish(AX), AX
	TESTQ AX, AX
	JEQ   done
	JMP   AX
done:
	RET

// divideGroups divides the panels of all groups of the table behind R9: into shares if all groups have
// few pairs, and otherwise by the counter.
TEXT divideGroups<>(SB), NOSPLIT|NOFRAME, $0-0
	CALL  tableOfMixture<>(SB)
	MOVQ  BX, mix_groups
	MOVQ  DX, mix_most
	MOVQ  CX, AX
	IMULQ frame_panels(DI), AX
	MOVQ  AX, frame_items(DI)
	CALL  ·shareOf(SB)
	MOVQ  AX, frame_next(DI)
	MOVQ  BX, frame_end(DI)
	RET

// takeOfGroup takes an item: panel, and the tokens and tiles of its group, which R9 is then. AX is 0 if
// there is none left.
TEXT takeOfGroup<>(SB), NOSPLIT|NOFRAME, $0-0
	CMPQ  mix_most, $const_fewTokens
	JG    many
	MOVQ  frame_next(DI), AX
	CMPQ  AX, frame_end(DI)
	JGE   none
	INCQ  frame_next(DI)
	JMP   taken
many:
	MOVQ  frame_counter(DI), BX
	MOVL  $1, AX
	LOCK
	XADDL AX, 0(BX)
	CMPQ  AX, frame_items(DI)
	JGE   none
taken:
	XORL  DX, DX
	DIVQ  frame_panels(DI)
	MOVQ  DX, frame_panel(DI)
	SHLQ  $4, AX                     // group__size
	MOVQ  mix_groups, R9
	ADDQ  AX, R9
	MOVL  group_pairs(R9), AX
	MOVQ  AX, frame_tokens(DI)
	ADDQ  $(const_tileTokens-1), AX
	SHRQ  $4, AX
	MOVQ  AX, frame_tiles(DI)
	MOVQ  AX, frame_tile1(DI)
	MOVQ  $0, frame_tile0(DI)
	MOVL  group_slot(R9), AX
	IMULQ frame_nb(DI), AX
	IMULQ $const_tokenBlock, AX
	ADDQ  mix_acts, AX
	MOVQ  AX, frame_acts(DI)
	MOVQ  mix_small, AX
	CMPQ  frame_tokens(DI), $const_amxTokens
	CMOVQGE mix_large, AX
	MOVQ  AX, frame_texts(DI)
	MOVL  $1, AX
	RET
none:
	XORL  AX, AX
	RET

// func pairAddresses() (group, mix uintptr)
TEXT ·pairAddresses(SB), NOSPLIT, $0-16
	LEAQ ·opGroupPairs(SB), AX
	MOVQ AX, group+0(FP)
	LEAQ ·opMixPairs(SB), AX
	MOVQ AX, mix+8(FP)
	RET

// func vnniExpertAddresses() (product, gateUp, quantise uintptr)
TEXT ·vnniExpertAddresses(SB), NOSPLIT, $0-24
	LEAQ ·opExpertProductVNNI(SB), AX
	MOVQ AX, product+0(FP)
	LEAQ ·opExpertGateUpVNNI(SB), AX
	MOVQ AX, gateUp+8(FP)
	LEAQ ·opQuantiseGroupedVNNI(SB), AX
	MOVQ AX, quantise+16(FP)
	RET

// func avx2ExpertAddresses() (product, gateUp, quantise uintptr)
TEXT ·avx2ExpertAddresses(SB), NOSPLIT, $0-24
	LEAQ ·opExpertProductAVX2(SB), AX
	MOVQ AX, product+0(FP)
	LEAQ ·opExpertGateUpAVX2(SB), AX
	MOVQ AX, gateUp+8(FP)
	LEAQ ·opQuantiseGroupedAVX2(SB), AX
	MOVQ AX, quantise+16(FP)
	RET

// func avxVNNIExpertAddresses() (product, gateUp, quantise uintptr)
TEXT ·avxVNNIExpertAddresses(SB), NOSPLIT, $0-24
	LEAQ ·opExpertProductAVXVNNI(SB), AX
	MOVQ AX, product+0(FP)
	LEAQ ·opExpertGateUpAVXVNNI(SB), AX
	MOVQ AX, gateUp+8(FP)
	LEAQ ·opQuantiseGroupedAVXVNNI(SB), AX
	MOVQ AX, quantise+16(FP)
	RET

// func amxExpertAddresses() (product, gateUp uintptr)
TEXT ·amxExpertAddresses(SB), NOSPLIT, $0-16
	LEAQ ·opExpertProductAMX(SB), AX
	MOVQ AX, product+0(FP)
	LEAQ ·opExpertGateUpAMX(SB), AX
	MOVQ AX, gateUp+8(FP)
	RET
