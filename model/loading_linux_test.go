package model

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// loadVariable says how many GiB the file has whose loading is measured.
const loadVariable = "EBB_LOAD_GIB"

// largeIn is how many values a row of the matrices of the large file has.
const largeIn = 1024

// BenchmarkLoading reports how long a large file of 4 GiB takes to be read, to be ready where it is
// mapped, and to be copied to each device; and then a file of Q8_0, how long it takes to be packed for
// the CPU, which may take at most 1.3 times as long as reading it. It is run once: -bench Loading
// -benchtime 1x.
func BenchmarkLoading(b *testing.B) {
	gib, err := strconv.Atoi(cmp.Or(os.Getenv(loadVariable), "4"))
	if err != nil || gib < 1 {
		b.Fatalf("%s=%s: want a number of GiB", loadVariable, os.Getenv(loadVariable))
	}
	library, err := ggml.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, typ := range []ggml.Type{ggml.F32, ggml.Q8_0} {
		rows := int((64 << 20) / typ.RowSize(largeIn) / product.Rows * product.Rows)
		benchmarkLoading(b, library, typ, 16*gib, rows)
	}
}

func benchmarkLoading(b *testing.B, library *ggml.Library, typ ggml.Type, matrices, rows int) {
	path := filepath.Join(b.TempDir(), "large.gguf")
	writeLarge(b, path, typ, matrices, rows)
	forget(b, path)
	start := time.Now()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	size, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 4<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		b.Fatal(err)
	}
	report := func(what string, took time.Duration, read int64) {
		b.Logf("%-26s %6.2f s, %5.2f GB/s, %d MiB read from the disk of %d", what, took.Seconds(), float64(size)/took.Seconds()/1e9, read>>20, size>>20)
		if read > size+size/50 {
			b.Errorf("%s: %d bytes were read of a file of %d: each once", what, read, size)
		}
	}
	alone := time.Since(start)
	report("read alone, "+typ.String(), alone, size)
	for _, d := range library.Devices() {
		products := product.On(d, isa.Best)
		if typ != ggml.F32 && !products.Any() {
			continue
		}
		backend, err := d.Open(ggml.Options{})
		if err != nil {
			b.Fatal(err)
		}
		took := load(b, backend, products, path, matrices, rows, report)
		if most := alone * 13 / 10; typ != ggml.F32 && took > most {
			b.Errorf("packing takes %v, want at most %v, 1.3 times as long as reading", took, most)
		}
		if err := backend.Close(); err != nil {
			b.Error(err)
		}
	}
}

// load loads all matrices of a file for a device, and waits until they are there.
func load(t testing.TB, b *ggml.Backend, p product.Products, path string, matrices, rows int, report func(string, time.Duration, int64)) (took time.Duration) {
	t.Helper()
	forget(t, path)
	start, before := time.Now(), readFromDisk(t)
	var usage, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLoader(f, Devices{Input: b, Output: b, Room: 1 << 60, Products: p})
	for i := range matrices {
		l.Linear(fmt.Sprintf("m%d", i), largeIn, rows)
	}
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	how, sum := "copied to ", byte(0)
	for _, x := range w.inPlace { // as a step would, from the first to the last
		how = "mapped on "
		for data := f.Data(x); len(data) > 0; data = data[min(4096, len(data)):] {
			sum += data[0]
		}
	}
	took = time.Since(start)
	report(how+b.Device().Name(), took, readFromDisk(t)-before)
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	seconds := func(after, before syscall.Timeval) float64 { return float64(after.Nano()-before.Nano()) / 1e9 }
	t.Logf("  %.2f s of computing, %.2f s in the system, %d minor and %d major faults, %d MiB of the file in memory (sum %d)", seconds(after.Utime, usage.Utime),
		seconds(after.Stime, usage.Stime), after.Minflt-usage.Minflt, after.Majflt-usage.Majflt, residentBytes(t, path)>>20, sum)
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	return took
}

// writeLarge writes matrices that are all alike.
func writeLarge(t testing.TB, path string, typ ggml.Type, matrices, rows int) {
	t.Helper()
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, int(typ.RowSize(largeIn))*rows/8)
	var tensors []gguf.TensorData
	for i := range matrices {
		tensors = append(tensors, gguf.TensorData{Name: fmt.Sprintf("m%d.weight", i), Type: gguf.Type(typ), Shape: []int64{largeIn, int64(rows)}, Data: data})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = gguf.Write(w, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors)
	if err := errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// forget drops a file from the system's memory.
func forget(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()); err != nil {
		t.Fatal(err)
	}
}
