package gguf_test

import (
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

func TestTypesHaveGgmlsNumbersAndSizes(t *testing.T) {
	// Bytes of 256 elements, from the bits a weight that ggml documents for each type.
	tests := []struct {
		number gguf.Type
		name   string
		bytes  int64
	}{
		{0, "f32", 1024},
		{1, "f16", 512},
		{2, "q4_0", 144},
		{3, "q4_1", 160},
		{6, "q5_0", 176},
		{7, "q5_1", 192},
		{8, "q8_0", 272},
		{10, "q2_k", 84},
		{11, "q3_k", 110},
		{12, "q4_k", 144},
		{13, "q5_k", 176},
		{14, "q6_k", 210},
		{15, "q8_k", 292},
		{16, "iq2_xxs", 66},
		{17, "iq2_xs", 74},
		{18, "iq3_xxs", 98},
		{19, "iq1_s", 50},
		{20, "iq4_nl", 144},
		{21, "iq3_s", 110},
		{22, "iq2_s", 82},
		{23, "iq4_xs", 136},
		{24, "i8", 256},
		{25, "i16", 512},
		{26, "i32", 1024},
		{27, "i64", 2048},
		{28, "f64", 2048},
		{29, "iq1_m", 56},
		{30, "bf16", 512},
		{34, "tq1_0", 54},
		{35, "tq2_0", 66},
		{39, "mxfp4", 136},
		{40, "nvfp4", 144},
		{41, "q1_0", 36},
		{42, "q2_0", 72},
	}
	for _, test := range tests {
		if got := test.number.String(); got != test.name {
			t.Errorf("type %d is %s, want %s", uint32(test.number), got, test.name)
		}
		if got := test.number.RowSize(256); got != test.bytes {
			t.Errorf("256 elements of %s take %d bytes, want %d", test.name, got, test.bytes)
		}
		if got, want := test.number.Quantized(), test.number.BlockSize() > 1; got != want {
			t.Errorf("%s: quantized %t, want %t", test.name, got, want)
		}
	}
	for _, removed := range []gguf.Type{4, 5, 31, 32, 33, 36, 37, 38, 43, 1 << 31} {
		if removed.Known() || removed.TypeSize() != 0 {
			t.Errorf("%s is known, want unknown", removed)
		}
	}
}
