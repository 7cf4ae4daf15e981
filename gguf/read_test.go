package gguf_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

func TestReadGivesTheBytesOfATensor(t *testing.T) {
	data, err := os.ReadFile(tinyModel)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*gguf.File{"opened": open(t, tinyModel), "parsed": parsed} {
		for _, tensor := range f.Tensors() {
			want := f.Data(tensor)
			for _, at := range [][2]int64{{0, tensor.Size}, {5, 7}, {tensor.Size - 1, tensor.Size}, {3, 3}} {
				got := make([]byte, at[1]-at[0])
				if err := f.Read(tensor, at[0], got); err != nil || !bytes.Equal(got, want[at[0]:at[1]]) {
					t.Errorf("%s: bytes %d to %d of %s differ, %v", name, at[0], at[1], tensor, err)
				}
			}
			for _, at := range []int64{-1, tensor.Size, 1 << 62} {
				if err := f.Read(tensor, at, make([]byte, 1)); err == nil || !strings.Contains(err.Error(), tensor.Name) {
					t.Errorf("%s: a byte at %d of %s: %v, want an error that names the tensor", name, at, tensor, err)
				}
			}
		}
	}
}

func TestReadOfAFileThatBecameShorterIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the file is read when it is opened")
	}
	data, err := os.ReadFile(tinyModel)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	all := f.Tensors()
	first, last := all[0], all[len(all)-1]
	if err := os.Truncate(path, last.Offset+1); err != nil {
		t.Fatal(err)
	}
	if err := f.Read(first, 0, make([]byte, first.Size)); err != nil {
		t.Errorf("%s, which is still there: %v", first, err)
	}
	err = f.Read(last, 0, make([]byte, last.Size))
	wantFormatError(t, err, `tensor "`+last.Name+`"`, "became shorter")
	if !errors.Is(err, gguf.ErrTruncated) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrTruncated and the path", err)
	}
}

func TestReadAfterCloseIsAnError(t *testing.T) {
	f, err := gguf.Open(tinyModel)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Read(f.Tensors()[0], 0, make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v, want an error that says so", err)
	}
}
