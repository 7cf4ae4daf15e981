package bench

import (
	"math"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

func TestLayersAreMoreThanCachesHoldAndNotMuchMore(t *testing.T) {
	const mega = 1 << 20
	for _, tt := range []struct {
		name    string
		kvHeads int // of 128 f16 values each in K and V, and 2048 cells: a megabyte a head
		least   int64
		want    int
	}{
		{"many", 1, 256 * mega, 256},
		{"a last one in part", 3, 256 * mega, 86},
		{"one", 256, 256 * mega, 1},
		{"one that is larger", 300, 256 * mega, 1},
		{"one that is twice as large", 512, 256 * mega, 1},
		{"one that is larger still", 513, 256 * mega, 0},
	} {
		a := attended{typ: ggml.F16, heads: tt.kvHeads, kvHeads: tt.kvHeads, keyDim: 128, valueDim: 128, cells: 2048 / 2, rows: 1}
		if each := int64(tt.kvHeads) * mega / 2; a.bytes() != each {
			t.Errorf("%s: a layer of %d bytes, want %d", tt.name, a.bytes(), each)
		}
		a.cells = 2048
		if got := a.layers(tt.least); got != tt.want {
			t.Errorf("%s: %d layers, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTargetsAreForOneRow(t *testing.T) {
	for _, tt := range []struct {
		typ                  ggml.Type
		heads, kvHeads, rows int
		read, flash          float64
	}{
		{ggml.F16, 9, 3, 1, targetKernel, 0},
		{ggml.F16, 32, 8, 1, targetKernel, 0},
		{ggml.F16, 33, 8, 1, 0, 0},
		{ggml.F16, 9, 3, 4, 0, 0},
		{ggml.Q8_0, 9, 3, 1, 0, targetQ8},
		{ggml.Q8_0, 64, 8, 1, 0, targetQ8},
		{ggml.Q8_0, 9, 3, 16, 0, 0},
		{ggml.Q4_0, 9, 3, 1, 0, 0},
	} {
		a := attended{typ: tt.typ, heads: tt.heads, kvHeads: tt.kvHeads, rows: tt.rows}
		if read, flash := a.targets(); read != tt.read || flash != tt.flash {
			t.Errorf("%+v: targets %g and %g, want %g and %g", a, read, flash, tt.read, tt.flash)
		}
	}
}

// What is timed is all of the work: each arm attends to all cells of all layers.
func TestKernelAndFlashAttentionComputeTheSame(t *testing.T) {
	small(t) // skips without libraries
	for _, typ := range []ggml.Type{ggml.F32, ggml.F16, ggml.BF16, ggml.Q8_0, ggml.Q4_0} {
		for _, rows := range []int{1, 4} {
			of := attended{typ: typ, heads: 4, kvHeads: 2, keyDim: 32, valueDim: 32, cells: 96, rows: rows}
			const layers = 3
			st, why, err := openStack(of, layers, 1, isa.Go)
			if err != nil || why != "" {
				t.Fatal(err, why)
			}
			if got, want := int64(len(st.memory)), layers*of.bytes(); got != want {
				t.Errorf("%v: %d bytes of K/V, want %d", typ, got, want)
			}
			for _, a := range st.arms {
				if err := a.Step(t.Context(), rows); err != nil {
					t.Error(err)
				}
			}
			var outs [2][]float32
			for i, r := range st.results {
				outs[i] = make([]float32, r.Elements())
				ggml.GetSlice(r, outs[i], 0)
			}
			// The scores are small and their errors cancel out in the weights; 2^-12 covers queries
			// in blocks of bytes. With f16 flash attention sums the values in half precision: up to
			// 2^-12 more for each cell.
			tolerance := 1.0 / (1 << 12)
			if typ == ggml.F16 {
				tolerance = float64(of.cells) / (1 << 12)
			}
			for i, got := range outs[0] {
				if want := outs[1][i]; !(math.Abs(float64(got-want)) <= tolerance*math.Abs(float64(want))) || want == 0 {
					t.Errorf("%v, %d rows: value %d is %g, and flash attention's %g", typ, rows, i, got, want)
					break
				}
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestNoKernelForHeadsIsSaid(t *testing.T) {
	small(t)
	of := attended{typ: ggml.F16, heads: 1, kvHeads: 1, keyDim: 20, valueDim: 20, cells: 64, rows: 1}
	if st, why, err := openStack(of, 1, 1, isa.Go); st != nil || why == "" || err != nil {
		t.Errorf("%v, %q, error %v: want why alone", st, why, err)
	}
}
