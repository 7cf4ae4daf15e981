package model

import (
	"bufio"
	"bytes"
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

// loadVariable is how many GiB the file has whose loading is measured. Without it nothing is: the
// figures are for people, and mean something only on a machine that does nothing else.
const loadVariable = "EBB_LOAD_GIB"

// TestLoadingTakesTheTimeOfReading reports how long a large file takes to be read, to be ready where it
// is mapped, and to be copied to each device.
func TestLoadingTakesTheTimeOfReading(t *testing.T) {
	gib, err := strconv.Atoi(os.Getenv(loadVariable))
	if err != nil || gib < 1 {
		t.Skipf("set %s=4, on a quiet machine, to measure how 4 GiB are loaded", loadVariable)
	}
	const rows = 16 << 10 // 64 MiB of F32 [1024, rows]
	matrices := 16 * gib
	path := filepath.Join(t.TempDir(), "large.gguf")
	writeLarge(t, path, matrices, rows)
	forget(t, path)
	start := time.Now()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	size, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 4<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	report := func(what string, took time.Duration, read int64) {
		t.Logf("%-26s %6.2f s, %5.2f GB/s, %d MiB read from the disk of %d", what, took.Seconds(), float64(size)/took.Seconds()/1e9, read>>20, size>>20)
		if read > size+size/50 {
			t.Errorf("%s: %d bytes were read of a file of %d: each once", what, read, size)
		}
	}
	report("read alone", time.Since(start), size)
	library, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range library.Devices() {
		b, err := d.Open(ggml.Options{})
		if err != nil {
			t.Fatal(err)
		}
		load(t, b, path, matrices, rows, report)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// load loads all matrices of a file for a device, and waits until they are there.
func load(t *testing.T, b *ggml.Backend, path string, matrices, rows int, report func(string, time.Duration, int64)) {
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
func writeLarge(t *testing.T, path string, matrices, rows int) {
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
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()); err != nil {
		t.Fatal(err)
	}
}
