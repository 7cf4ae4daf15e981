package testmodel

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// Edit returns the model whose GGUF file has the bytes of model with other metadata and further
// tensors. A pair of meta takes the place of the one with its key, or is added; a nil value removes
// the key.
func Edit(tb testing.TB, model []byte, meta []gguf.KV, tensors ...gguf.TensorData) []byte {
	tb.Helper()
	f, err := gguf.Parse(model)
	if err != nil {
		tb.Fatalf("testmodel: edit: %v", err)
	}
	var pairs []gguf.KV
	for key, value := range f.Metadata() {
		if !slices.ContainsFunc(meta, func(kv gguf.KV) bool { return kv.Key == key }) {
			pairs = append(pairs, gguf.KV{Key: key, Value: value.Any()})
		}
	}
	for _, kv := range meta {
		if kv.Value != nil {
			pairs = append(pairs, kv)
		}
	}
	var all []gguf.TensorData
	for _, t := range f.Tensors() {
		all = append(all, gguf.TensorData{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: f.Data(t)})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, pairs, append(all, tensors...)); err != nil {
		tb.Fatalf("testmodel: edit: %v", err)
	}
	return b.Bytes()
}

// Vector returns a tensor of n zeros to add to a model.
func Vector(name string, n int) gguf.TensorData {
	return gguf.TensorData{Name: name, Type: gguf.F32, Shape: []int64{int64(n)}, Data: make([]byte, 4*n)}
}
