package attend

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

func TestParseISA(t *testing.T) {
	for i, name := range isaNames {
		got, err := ParseISA(name)
		if has := ISA(i) <= NoKernel || slices.Contains(ISAs(), ISA(i)); has != (err == nil) {
			t.Errorf("%s: %v; want an error only where the processor lacks it (%v)", name, err, ISAs())
		}
		if err == nil && got != ISA(i) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if _, err := ParseISA("sse"); err == nil || !strings.Contains(err.Error(), "avx512") {
		t.Errorf("sse: got %v, want an error with the names", err)
	}
	if got, err := ParseISA(""); err != nil || got != BestISA {
		t.Errorf("no name: got %v, %v; want best", got, err)
	}
}

func TestParseKind(t *testing.T) {
	for i, name := range kindNames {
		if got, err := ParseKind(name); err != nil || got != Kind(i) || got.String() != name {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if _, err := ParseKind("fast"); err == nil || !strings.Contains(err.Error(), "kernel") {
		t.Errorf("fast: got %v, want an error with the names", err)
	}
}

// The kernel is used where there is one and it takes the heads, unless another kind is asked for.
func TestKernelIsUsedWhereItCanBe(t *testing.T) {
	d := newRig(t, 1).device
	for _, tt := range []struct {
		kind       Kind
		isa        ISA
		k, v       ggml.Type
		key, value int
		want       bool
	}{
		{Auto, AVX2, ggml.F16, ggml.F16, 64, 64, true},
		{Kernel, Go, ggml.Q4_0, ggml.Q4_0, 192, 128, true},
		{Auto, BestISA, ggml.F16, ggml.F16, 64, 64, len(ISAs()) > 1},
		{Auto, NoKernel, ggml.F16, ggml.F16, 64, 64, false},
		{Kernel, NoKernel, ggml.F16, ggml.F16, 64, 64, false},
		{Flash, AVX2, ggml.F16, ggml.F16, 64, 64, false},
		{Eager, AVX2, ggml.F16, ggml.F16, 64, 64, false},
		{Auto, AVX2, ggml.F16, ggml.Q8_0, 64, 64, false},
		{Auto, AVX2, ggml.Q5_0, ggml.Q5_0, 64, 64, false},
		{Auto, AVX2, ggml.F16, ggml.F16, 40, 64, false},
		{Auto, AVX2, ggml.Q8_0, ggml.Q8_0, 80, 80, false},
		{Auto, AVX2, ggml.F16, ggml.F16, 80, 80, true},
	} {
		if got := On(d, tt.kind, tt.isa).Kernel(tt.k, tt.v, tt.key, tt.value); got != tt.want {
			t.Errorf("%v, %v, %v and %v, heads of %d and %d: kernel %v, want %v", tt.kind, tt.isa, tt.k, tt.v, tt.key, tt.value, got, tt.want)
		}
	}
}
