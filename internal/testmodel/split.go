package testmodel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// Split writes the model at path as n parts, as llama.cpp splits models, into a folder that is
// removed when the test ends. part returns the part, from 0, to which tensor i of the file goes;
// the tensors of a part keep their order. It returns the parts' paths.
func Split(tb testing.TB, path string, n int, part func(i int) int) []string {
	tb.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatalf("testmodel: split: %v", err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			tb.Errorf("testmodel: split: %v", err)
		}
	}()
	tensors := make([][]gguf.TensorData, n)
	for i, t := range f.Tensors() {
		p := part(i)
		tensors[p] = append(tensors[p], gguf.TensorData{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: f.Data(t)})
	}
	dir := tb.TempDir()
	var paths []string
	for i := range n {
		var meta []gguf.KV
		if i == 0 { // as llama.cpp does: the other parts say nothing of the model
			for key, value := range f.Metadata() {
				meta = append(meta, gguf.KV{Key: key, Value: value.Any()})
			}
		}
		meta = append(meta, SplitKeys(i, n, len(f.Tensors()))...)
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("split-%05d-of-%05d.gguf", i+1, n)))
		if err := writePart(paths[i], meta, tensors[i]); err != nil {
			tb.Fatalf("testmodel: split: %v", err)
		}
	}
	return paths
}

// SplitKeys returns the metadata of part i of n of a model with that many tensors.
func SplitKeys(i, n, tensors int) []gguf.KV {
	return []gguf.KV{
		{Key: "split.no", Value: uint16(i)},
		{Key: "split.count", Value: uint16(n)},
		{Key: "split.tensors.count", Value: int32(tensors)},
	}
}

func writePart(path string, meta []gguf.KV, tensors []gguf.TensorData) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(gguf.Write(file, meta, tensors), file.Close())
}
