package model

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// residentBytes returns how much of the mappings of a file the process has in memory.
func residentBytes(t testing.TB, path string) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(fields[0], "-"):
			inside = fields[len(fields)-1] == path
		case inside && fields[0] == "Rss:":
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			bytes += kilobytes << 10
		}
	}
	return bytes
}

// processBytes returns how much memory the process has, without what Go has freed.
func processBytes(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestTheFilesMemoryOfCopiedWeightsIsGivenBack(t *testing.T) {
	for _, set := range productSets(t) {
		t.Run(set.String(), func(t *testing.T) { testFilesMemory(t, set) })
	}
}

func testFilesMemory(t *testing.T, set isa.ISA) {
	const hidden, vocab, out = 256, 4096, 16384
	b := testmodel.CPU(t, 1)
	var tensors []gguf.TensorData
	for seed, m := range []struct {
		name string
		rows int64
	}{{"first.weight", out}, {"token_embd.weight", vocab}, {"second.weight", out}} {
		values := make([]float32, hidden*m.rows)
		for i := range values {
			values[i] = float32((i*7+seed)%31) - 15
		}
		data, err := ggml.Quantize(ggml.Q4_0, values, hidden)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, gguf.TensorData{Name: m.name, Type: gguf.Q4_0, Shape: []int64{hidden, m.rows}, Data: data})
	}
	var file bytes.Buffer
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weights.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	l := NewLoader(f, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)})
	l.Linear("first", hidden, out)
	l.Embedding("token_embd", hidden, vocab)
	l.Linear("second", hidden, out)
	before := processBytes(t)
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if len(w.inPlace) != 1 {
		t.Skipf("cpu: %d of 3 matrices are used where the file is mapped: there is no faster order", len(w.inPlace))
	}
	all := int64(0)
	for _, tensor := range tensors {
		all += int64(len(tensor.Data))
	}
	if got := b.Usage().Current[ggml.Weights]; got != all {
		t.Errorf("%d bytes of weights are booked, want %d: each once", got, all)
	}
	// Huge pages may take a part of one more.
	if got, most := processBytes(t)-before, all+all/20+2<<20; set > isa.GGML && got > most {
		t.Errorf("the process has %d bytes more than before, want at most %d: %d are weights", got, most, all)
	}
	pages := int64(2 * os.Getpagesize()) // those that the embedding shares with its neighbours
	if got, most := residentBytes(t, path), w.inPlace[0].Size+pages; got > most {
		t.Errorf("%d bytes of the file's mapping are in memory, want at most the embedding's, %d", got, most)
	}
	for _, tensor := range tensors {
		source, _ := f.Tensor(tensor.Name)
		if !bytes.Equal(f.Data(source), tensor.Data) {
			t.Errorf("%s has other bytes after it was given back", tensor.Name)
		}
	}
}

func TestReleaseKeepsToWholePages(t *testing.T) {
	page := os.Getpagesize()
	data := bytes.Repeat([]byte{7}, 6*page)
	var file bytes.Buffer
	tensor := gguf.TensorData{Name: "t", Type: gguf.I8, Shape: []int64{int64(len(data))}, Data: data}
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, []gguf.TensorData{tensor}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pages.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	touch := func() {
		sum := 0
		for _, b := range f.Mapping(0) {
			sum += int(b)
		}
		if sum == 0 {
			t.Fatal("the file holds nothing")
		}
	}
	size := int64(file.Len())
	whole := (size + int64(page) - 1) / int64(page) * int64(page)
	for _, tt := range []struct{ from, to, left int64 }{
		{0, size, 0},
		{1, size, int64(page)},
		{0, int64(page) - 1, whole},
		{int64(page) / 2, 3*int64(page) + 5, whole - 2*int64(page)},
		{5, 5, whole},
	} {
		touch()
		if err := f.Release(0, tt.from, tt.to); err != nil {
			t.Fatal(err)
		}
		if got := residentBytes(t, path); got != tt.left {
			t.Errorf("%d bytes are in memory after [%d, %d) of %d were released, want %d", got, tt.from, tt.to, size, tt.left)
		}
	}
	for _, bad := range [][2]int64{{-1, 5}, {0, size + 1}} {
		if err := f.Release(0, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) {
			t.Errorf("release [%d, %d): %v, want an error with the size", bad[0], bad[1], err)
		}
	}
}
