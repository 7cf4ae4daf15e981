package llama_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// columns returns a matrix of f32 with some columns, in runs of n: run i is run from[i] of the matrix,
// or zeros if that is negative.
func columns(x gguf.TensorData, n int, from ...int) gguf.TensorData {
	row := int(x.Shape[0]) * 4
	var data []byte
	for r := range int(x.Shape[1]) {
		for _, f := range from {
			if f < 0 {
				data = append(data, make([]byte, 4*n)...)
			} else {
				data = append(data, x.Data[r*row+4*n*f:][:4*n]...)
			}
		}
	}
	x.Shape, x.Data = []int64{int64(n * len(from)), x.Shape[1]}, data
	return x
}

// rows is columns for rows.
func rows(x gguf.TensorData, n int, from ...int) gguf.TensorData {
	run := int(x.Shape[0]) * 4 * n
	var data []byte
	for _, f := range from {
		if f < 0 {
			data = append(data, make([]byte, run)...)
		} else {
			data = append(data, x.Data[run*f:][:run]...)
		}
	}
	x.Shape, x.Data = []int64{x.Shape[0], int64(n * len(from))}, data
	return x
}

// A layer with fewer heads or a narrower network computes what one does whose other heads are copies
// and whose other rows are zeros.
func TestLayersOfOtherShapesEqualLayersFilledUp(t *testing.T) {
	testmodel.CPU(t, 1) // skips where there is no library
	const dim = 32
	data := testmodel.Llama(testmodel.Options{})
	counts := func(name string, at int, n uint32, others uint32) gguf.KV {
		all := slices.Repeat([]uint32{others}, 5)
		all[at] = n
		return gguf.KV{Key: "llama." + name, Value: all}
	}
	byLayer := []gguf.KV{counts("attention.head_count_kv", 1, 1, 2), counts("attention.head_count", 2, 2, 4), counts("feed_forward_length", 3, 64, 128)}
	shapes := map[string][2]func(gguf.TensorData) gguf.TensorData{ // narrow, and filled up
		// One KV head, or the same one twice.
		"blk.1.attn_k.weight": {func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0) }, func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0, 0) }},
		"blk.1.attn_v.weight": {func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0) }, func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0, 0) }},
		// A head for each KV head, or two whose second one has no part in the output.
		"blk.2.attn_q.weight":      {func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0, 1) }, func(x gguf.TensorData) gguf.TensorData { return rows(x, dim, 0, 2, 1, 3) }},
		"blk.2.attn_output.weight": {func(x gguf.TensorData) gguf.TensorData { return columns(x, dim, 0, 1) }, func(x gguf.TensorData) gguf.TensorData { return columns(x, dim, 0, -1, 1, -1) }},
		// Half of the network, or the other half with zeros.
		"blk.3.ffn_gate.weight": {func(x gguf.TensorData) gguf.TensorData { return rows(x, 64, 0) }, func(x gguf.TensorData) gguf.TensorData { return rows(x, 64, 0, -1) }},
		"blk.3.ffn_up.weight":   {func(x gguf.TensorData) gguf.TensorData { return rows(x, 64, 0) }, func(x gguf.TensorData) gguf.TensorData { return rows(x, 64, 0, -1) }},
		"blk.3.ffn_down.weight": {func(x gguf.TensorData) gguf.TensorData { return columns(x, 64, 0) }, func(x gguf.TensorData) gguf.TensorData { return columns(x, 64, 0, -1) }},
	}
	convert := func(meta []gguf.KV, which int) []byte {
		return testmodel.Convert(t, data, "llama", meta, func(x gguf.TensorData) []gguf.TensorData {
			if shape, ok := shapes[x.Name]; ok {
				x = shape[which](x)
			}
			return []gguf.TensorData{x}
		})
	}
	got, want := logitsOf(t, convert(byLayer, 0)), logitsOf(t, convert(nil, 1))
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); d > 1e-4 {
			t.Fatalf("logit %d is %g, want %g", i, got[i], want[i])
		}
	}
	if plain := logitsOf(t, data); slices.Equal(plain, want) {
		t.Error("the shapes made no difference")
	}
	// Without the counts by layer the narrow tensors fit no shape.
	if _, _, err := openEdited(t, []gguf.KV{byLayer[0]}); err == nil || !strings.Contains(err.Error(), "tensor blk.1.attn_k.weight has the shape [64 64]: want [64 32]") {
		t.Errorf("got the error %v, want one that names the shapes", err)
	}
}
