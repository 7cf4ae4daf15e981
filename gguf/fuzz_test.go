package gguf_test

import (
	"bytes"
	"math"
	"os"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// FuzzParse keeps three promises for any bytes: no panic, nothing outside the file, and what was
// read can be written and read again.
func FuzzParse(f *testing.F) {
	valid := tiny(f)
	f.Add(valid)
	for _, n := range []int{0, 3, 4, 8, 16, 24, 40, len(valid) / 2, len(valid) - 1} {
		f.Add(valid[:n])
	}
	if model, err := os.ReadFile(tinyModel); err == nil {
		f.Add(model[:4096]) // the fuzzer mutates short inputs better
	}
	f.Add([]byte(header{}.magic(2, 1, 1).string("general.alignment").pairU32(64).tensor("w", gguf.Q4_K, 0, 256, 2).pad(64).zeros(288)))
	f.Add([]byte(header{}.magic(3, 0, math.MaxUint64)))
	f.Add(one(64, gguf.F32, 0, 1<<32, 1<<32))
	f.Add(pair(header{}.u32(9).u32(8).u64(2).string("a").u64(1 << 60)))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := gguf.Parse(data)
		if err != nil {
			return
		}
		readAll(t, file)

		var tensors []gguf.TensorData
		for _, tensor := range file.Tensors() {
			tensors = append(tensors, gguf.TensorData{Name: tensor.Name, Type: tensor.Type, Shape: tensor.Shape, Data: file.Data(tensor)})
		}
		meta := pairs(file)
		if file.Alignment() > 1<<20 {
			return // Write refuses to pad as far
		}
		var first, second bytes.Buffer
		if err := gguf.Write(&first, meta, tensors); err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		again, err := gguf.Parse(first.Bytes())
		if err != nil {
			t.Fatalf("read what was written: %v", err)
		}
		if err := gguf.Write(&second, pairs(again), tensors); err != nil {
			t.Fatalf("write again: %v", err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) { // bytes, so that NaNs are compared too
			t.Error("written twice, the files differ")
		}
	})
}

// readAll reads everything that f offers, with every getter.
func readAll(t *testing.T, f *gguf.File) {
	t.Helper()
	for _, key := range f.Keys() {
		v, ok := f.Value(key)
		if !ok {
			t.Errorf("key %q is listed and not found", key)
		}
		_, _ = v.Any(), v.String()
		_, _ = f.String(key)
		_, _ = f.Bool(key)
		n, errInt := f.Int(key)
		u, errUint := f.Uint(key)
		x, errFloat := f.Float(key)
		if errInt == nil && errUint == nil && (n < 0 || uint64(n) != u) || errInt == nil && errFloat == nil && x != float64(n) {
			t.Errorf("key %q is %d, %d and %g", key, n, u, x)
		}
		_, _ = f.Strings(key)
		_, _ = f.Bools(key)
		_, _ = f.Ints(key)
		_, _ = f.Floats(key)
	}
	for _, tensor := range f.Tensors() {
		if got := int64(len(f.Data(tensor))); got != tensor.Size {
			t.Errorf("%s has %d bytes, want %d", tensor, got, tensor.Size)
		}
	}
}
