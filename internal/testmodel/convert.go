package testmodel

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// Convert returns the model whose GGUF file has the bytes of model as one of another architecture: its
// metadata has the architecture's name, with the pairs of meta as in [Edit], and each tensor is what
// convert makes of it, any number of tensors.
func Convert(tb testing.TB, model []byte, architecture string, meta []gguf.KV, convert func(gguf.TensorData) []gguf.TensorData) []byte {
	tb.Helper()
	f, err := gguf.Parse(model)
	if err != nil {
		tb.Fatalf("testmodel: convert: %v", err)
	}
	var pairs []gguf.KV
	for key, value := range f.Metadata() {
		v := value.Any()
		if key == "general.architecture" {
			v = architecture
		}
		if own, ok := strings.CutPrefix(key, f.Architecture()+"."); ok {
			key = architecture + "." + own
		}
		if !slices.ContainsFunc(meta, func(kv gguf.KV) bool { return kv.Key == key }) {
			pairs = append(pairs, gguf.KV{Key: key, Value: v})
		}
	}
	for _, kv := range meta {
		if kv.Value != nil {
			pairs = append(pairs, kv)
		}
	}
	var tensors []gguf.TensorData
	for _, t := range f.Tensors() {
		tensors = append(tensors, convert(gguf.TensorData{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: f.Data(t)})...)
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, pairs, tensors); err != nil {
		tb.Fatalf("testmodel: convert: %v", err)
	}
	return b.Bytes()
}
