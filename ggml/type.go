package ggml

import (
	"fmt"
	"slices"
	"strings"
)

// Type is the type of a tensor's elements.
type Type int32

// The types, numbered as in ggml and in GGUF files.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14

	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	IQ1_M   Type = 29
	MXFP4   Type = 39

	I32  Type = 26
	I64  Type = 27
	BF16 Type = 30
)

// layouts are the layouts of the types in memory: size bytes hold block elements.
var layouts = map[Type]struct {
	name        string
	block, size int64
}{
	F32:  {"f32", 1, 4},
	F16:  {"f16", 1, 2},
	BF16: {"bf16", 1, 2},
	Q4_0: {"q4_0", 32, 18},
	Q4_1: {"q4_1", 32, 20},
	Q5_0: {"q5_0", 32, 22},
	Q5_1: {"q5_1", 32, 24},
	Q8_0: {"q8_0", 32, 34},
	Q2_K: {"q2_k", 256, 84},
	Q3_K: {"q3_k", 256, 110},
	Q4_K: {"q4_k", 256, 144},
	Q5_K: {"q5_k", 256, 176},
	Q6_K: {"q6_k", 256, 210},

	IQ2_XXS: {"iq2_xxs", 256, 66},
	IQ2_XS:  {"iq2_xs", 256, 74},
	IQ3_XXS: {"iq3_xxs", 256, 98},
	IQ1_S:   {"iq1_s", 256, 50},
	IQ4_NL:  {"iq4_nl", 32, 18},
	IQ3_S:   {"iq3_s", 256, 110},
	IQ2_S:   {"iq2_s", 256, 82},
	IQ4_XS:  {"iq4_xs", 256, 136},
	IQ1_M:   {"iq1_m", 256, 56},
	MXFP4:   {"mxfp4", 32, 17},

	I32: {"i32", 1, 4},
	I64: {"i64", 1, 8},
}

// ParseType returns the type of that name, such as "f16" or "q8_0"; case does not matter.
func ParseType(name string) (Type, error) {
	var names []string
	for t, l := range layouts {
		if strings.EqualFold(l.name, name) {
			return t, nil
		}
		names = append(names, l.name)
	}
	slices.Sort(names)
	return 0, fmt.Errorf("ggml: no type %q, the types are %s", name, strings.Join(names, ", "))
}

// String returns the type's name in lower case.
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", int32(t))
}

func (t Type) known() bool { _, ok := layouts[t]; return ok }

// BlockSize returns how many elements are stored together; the length of a row is a multiple of it.
// It is 1 for types that are not quantized, and for unknown types.
func (t Type) BlockSize() int64 {
	if l, ok := layouts[t]; ok {
		return l.block
	}
	return 1
}

// Quantized reports whether elements share scales in blocks.
func (t Type) Quantized() bool { return t.BlockSize() > 1 }

// RowSize returns the bytes of a row of n elements. It panics if n is not a multiple of the block
// size or the type is unknown.
func (t Type) RowSize(n int64) int64 {
	l, ok := layouts[t]
	if !ok || n < 0 || n%l.block != 0 {
		misuse("RowSize", fmt.Sprintf("a row of %d elements of %s; want a known type and a multiple of its block of %d", n, t, t.BlockSize()))
	}
	return n / l.block * l.size
}

// size returns the bytes of a block.
func (t Type) size() int64 { return layouts[t].size }

// written reports whether operations of a graph can write the type. For the types whose blocks are
// entries of a codebook only [Quantize] can, which searches it.
func (t Type) written() bool {
	switch t {
	case IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S:
		return false
	default:
		return t.float() || t.Quantized()
	}
}

// float reports whether elements are single numbers with a fraction.
func (t Type) float() bool { return t == F32 || t == F16 || t == BF16 }
