package testmodel

import (
	"bufio"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Dequantized writes a copy of the model at path whose weights are f32 to a temporary file, and returns
// its path.
func Dequantized(tb testing.TB, path string) string {
	tb.Helper()
	if _, err := ggml.Load(); err != nil {
		tb.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	}()
	var meta []gguf.KV
	for key, value := range f.Metadata() {
		meta = append(meta, gguf.KV{Key: key, Value: value.Any()})
	}
	var tensors []gguf.TensorData
	for _, t := range f.Tensors() {
		data := f.Data(t)
		if t.Type != gguf.F32 {
			values := ggml.Dequantize(ggml.Type(t.Type), data, int(t.Elements()))
			data = make([]byte, 0, 4*len(values))
			for _, v := range values {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
			}
		}
		tensors = append(tensors, gguf.TensorData{Name: t.Name, Type: gguf.F32, Shape: t.Shape, Data: data})
	}
	out := filepath.Join(tb.TempDir(), "f32.gguf")
	file, err := os.Create(out)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(file)
	if err := gguf.Write(w, meta, tensors); err != nil {
		tb.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return out
}
