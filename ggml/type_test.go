package ggml

import (
	"strings"
	"testing"
)

func TestParseTypeReadsWhatStringWrites(t *testing.T) {
	for typ := range layouts {
		for _, name := range []string{typ.String(), strings.ToUpper(typ.String())} {
			if got, err := ParseType(name); err != nil || got != typ {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
	}
}

func TestParseTypeOfAnUnknownNameListsTheTypes(t *testing.T) {
	_, err := ParseType("q9_9")
	if err == nil || !strings.Contains(err.Error(), `"q9_9"`) || !strings.Contains(err.Error(), "bf16, f16, f32") {
		t.Errorf("got %v", err)
	}
}

func TestRowSizeCountsWholeBlocks(t *testing.T) {
	tests := []struct {
		typ  Type
		n    int64
		want int64
	}{{F32, 3, 12}, {F16, 3, 6}, {Q8_0, 64, 68}, {Q4_0, 64, 36}, {Q6_K, 512, 420}, {I64, 2, 16}, {Q4_K, 0, 0}}
	for _, tt := range tests {
		if got := tt.typ.RowSize(tt.n); got != tt.want {
			t.Errorf("%s %d: got %d, want %d", tt.typ, tt.n, got, tt.want)
		}
	}
	for _, f := range []func(){
		func() { Q8_0.RowSize(33) },
		func() { F32.RowSize(-1) },
		func() { Type(99).RowSize(1) },
	} {
		if e := panicOf(t, f); e.Op != "RowSize" {
			t.Errorf("got %v", e)
		}
	}
}

func TestQuantizeAndBackKeepsNumbersWithinTheTypesPrecision(t *testing.T) {
	src := random(7, 512)
	tests := map[Type]float64{
		F32: 0, F16: 1e-3, BF16: 5e-3, Q8_0: 1e-2, Q5_0: 0.1, Q5_1: 0.1, Q4_0: 0.2, Q4_1: 0.2,
		Q6_K: 0.05, Q5_K: 0.1, Q4_K: 0.2, Q3_K: 0.3, Q2_K: 0.5,
		IQ4_XS: 0.2, IQ4_NL: 0.2, MXFP4: 0.3, IQ3_S: 0.4, IQ3_XXS: 0.5, IQ2_XXS: 0.7, // the others make tables for seconds
	}
	for typ, tol := range tests {
		raw, err := Quantize(typ, src, 256)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(raw)) != 2*typ.RowSize(256) {
			t.Errorf("%s: %d bytes, want %d", typ, len(raw), 2*typ.RowSize(256))
		}
		if d := distance(Dequantize(typ, raw, len(src)), src); d > tol {
			t.Errorf("%s: differs by %g, more than %g", typ, d, tol)
		}
	}
}

func TestQuantizeRefusesRowsThatDoNotFit(t *testing.T) {
	for _, tt := range []struct {
		typ    Type
		n      int
		rowLen int64
	}{{Q8_0, 64, 16}, {Q4_K, 64, 64}, {F32, 5, 2}, {F32, 4, 0}, {I32, 4, 4}, {Type(99), 4, 4}} {
		if _, err := Quantize(tt.typ, make([]float32, tt.n), tt.rowLen); err == nil {
			t.Errorf("%s: %d numbers in rows of %d: no error", tt.typ, tt.n, tt.rowLen)
		}
	}
	if e := panicOf(t, func() { Dequantize(Q8_0, make([]byte, 33), 32) }); e.Op != "Dequantize" {
		t.Errorf("got %v", e)
	}
}

func TestDeviceTypesHaveNames(t *testing.T) {
	for typ, want := range map[DeviceType]string{CPU: "cpu", GPU: "gpu", IGPU: "igpu", Accel: "accel", 9: "device type 9"} {
		if got := typ.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
