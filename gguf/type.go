package gguf

import "fmt"

// Type is a tensor type with ggml's number for it.
type Type uint32

// The tensor types of ggml 0.25. Numbers that are missing belonged to types that were removed from
// the format.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

// layout is the form of a type in memory: blocks of block elements, size bytes each.
type layout struct {
	name        string
	block, size int64
}

// superblock is the number of elements in a block of the K-quants and of most IQ types (QK_K in
// ggml).
const superblock = 256

// layouts holds the block sizes of ggml-common.h; each sum lists a block's parts: scales first,
// then quants.
var layouts = [...]layout{
	F32:     {"f32", 1, 4},
	F16:     {"f16", 1, 2},
	Q4_0:    {"q4_0", 32, 2 + 16},
	Q4_1:    {"q4_1", 32, 2 + 2 + 16},
	Q5_0:    {"q5_0", 32, 2 + 4 + 16},
	Q5_1:    {"q5_1", 32, 2 + 2 + 4 + 16},
	Q8_0:    {"q8_0", 32, 2 + 32},
	Q8_1:    {"q8_1", 32, 2 + 2 + 32},
	Q2_K:    {"q2_k", superblock, 2 + 2 + 16 + 64},
	Q3_K:    {"q3_k", superblock, 2 + 12 + 32 + 64},
	Q4_K:    {"q4_k", superblock, 2 + 2 + 12 + 128},
	Q5_K:    {"q5_k", superblock, 2 + 2 + 12 + 32 + 128},
	Q6_K:    {"q6_k", superblock, 2 + 16 + 64 + 128},
	Q8_K:    {"q8_k", superblock, 4 + 32 + 256},
	IQ2_XXS: {"iq2_xxs", superblock, 2 + 64},
	IQ2_XS:  {"iq2_xs", superblock, 2 + 8 + 64},
	IQ3_XXS: {"iq3_xxs", superblock, 2 + 96},
	IQ1_S:   {"iq1_s", superblock, 2 + 16 + 32},
	IQ4_NL:  {"iq4_nl", 32, 2 + 16},
	IQ3_S:   {"iq3_s", superblock, 2 + 4 + 8 + 32 + 64},
	IQ2_S:   {"iq2_s", superblock, 2 + 8 + 8 + 64},
	IQ4_XS:  {"iq4_xs", superblock, 2 + 2 + 4 + 128},
	I8:      {"i8", 1, 1},
	I16:     {"i16", 1, 2},
	I32:     {"i32", 1, 4},
	I64:     {"i64", 1, 8},
	F64:     {"f64", 1, 8},
	IQ1_M:   {"iq1_m", superblock, 8 + 16 + 32},
	BF16:    {"bf16", 1, 2},
	TQ1_0:   {"tq1_0", superblock, 2 + 4 + 48},
	TQ2_0:   {"tq2_0", superblock, 2 + 64},
	MXFP4:   {"mxfp4", 32, 1 + 16},
	NVFP4:   {"nvfp4", 64, 4 + 32},
	Q1_0:    {"q1_0", 128, 2 + 16},
	Q2_0:    {"q2_0", 64, 2 + 16},
}

// layout returns the zero layout for a type that is not known.
func (t Type) layout() layout {
	if uint64(t) >= uint64(len(layouts)) {
		return layout{}
	}
	return layouts[t]
}

// Known reports whether t is a type whose sizes this package knows.
func (t Type) Known() bool { return t.layout().block != 0 }

// String returns ggml's name of the type, as in "q4_k".
func (t Type) String() string {
	if l := t.layout(); l.block != 0 {
		return l.name
	}
	return fmt.Sprintf("type(%d)", uint32(t))
}

// BlockSize returns the number of elements that are stored together: 1 for plain types, 0 for
// unknown ones. The first dimension of a tensor is a multiple of it.
func (t Type) BlockSize() int64 { return t.layout().block }

// TypeSize returns the bytes of one block, 0 for unknown types.
func (t Type) TypeSize() int64 { return t.layout().size }

// Quantized reports whether elements are stored in blocks of several.
func (t Type) Quantized() bool { return t.BlockSize() > 1 }

// RowSize returns the bytes of n consecutive elements; n is a multiple of BlockSize.
func (t Type) RowSize(n int64) int64 {
	l := t.layout()
	if l.block == 0 || n%l.block != 0 {
		panic(fmt.Sprintf("gguf: row of %d elements of %s, want a multiple of %d", n, t, l.block))
	}
	return n / l.block * l.size
}
