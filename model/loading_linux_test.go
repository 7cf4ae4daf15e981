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
)

// loadVariable says how many GiB the file has whose loading is measured.
const loadVariable = "EBB_LOAD_GIB"

// BenchmarkLoading reports how long a large file of 4 GiB takes to be read, to be ready where it is
// mapped, and to be copied to each device. It is run once: -bench Loading -benchtime 1x.
func BenchmarkLoading(b *testing.B) {
	gib, err := strconv.Atoi(cmp.Or(os.Getenv(loadVariable), "4"))
	if err != nil || gib < 1 {
		b.Fatalf("%s=%s: want a number of GiB", loadVariable, os.Getenv(loadVariable))
	}
	const rows = 16 << 10 // 64 MiB of F32 [1024, rows]
	matrices := 16 * gib
	path := filepath.Join(b.TempDir(), "large.gguf")
	writeLarge(b, path, matrices, rows)
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
	report("read alone", time.Since(start), size)
	library, err := ggml.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range library.Devices() {
		backend, err := d.Open(ggml.Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, backend, path, matrices, rows, report)
		if err := backend.Close(); err != nil {
			b.Error(err)
		}
	}
}

// load loads all matrices of a file for a device, and waits until they are there.
func load(t testing.TB, b *ggml.Backend, path string, matrices, rows int, report func(string, time.Duration, int64)) {
	t.Helper()
	forget(t, path)
	start, before := time.Now(), readFromDisk(t)
	var usage, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLoader(f, Devices{Input: b, Output: b, Room: 1 << 60})
	for i := range matrices {
		l.Linear(fmt.Sprintf("m%d", i), 1024, rows)
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
	report(how+b.Device().Name(), time.Since(start), readFromDisk(t)-before)
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	t.Logf("  %d minor and %d major faults, %d MiB of the file in memory (sum %d)", after.Minflt-usage.Minflt, after.Majflt-usage.Majflt, residentBytes(t, path)>>20, sum)
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}

// writeLarge writes matrices that are all alike.
func writeLarge(t testing.TB, path string, matrices, rows int) {
	t.Helper()
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 1024*rows/2)
	var tensors []gguf.TensorData
	for i := range matrices {
		tensors = append(tensors, gguf.TensorData{Name: fmt.Sprintf("m%d.weight", i), Type: gguf.F32, Shape: []int64{1024, int64(rows)}, Data: data})
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
