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
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
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

// loadRounds is how often reading and loading alternate. The fastest of each counts, because a machine
// has other things to do.
const loadRounds = 3

// BenchmarkLoading reports how long a large file of 4 GiB takes to be read, to be ready where it is
// mapped, and to be copied to each device; and then a file of Q8_0, how long it takes to be packed for
// the CPU. From the disk that may take at most 1.3 times as long as reading the file to a buffer that is
// used again and again, as cat does. From the system's file cache it is compared with reading on all
// cores to memory that is new, which is a part of packing. It is run once: -bench Loading -benchtime 1x.
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
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	fastest := map[string]time.Duration{}
	measure := func(what string, f func()) {
		before, start := usageOf(b), time.Now()
		f()
		took, after := time.Since(start), usageOf(b)
		if old, ok := fastest[what]; !ok || took < old {
			fastest[what] = took
		}
		read := after.read - before.read
		b.Logf("%-36s %6.2f s, %5.2f GB/s; %.2f s of computing and %.2f s in the system, %d minor and %d major faults; %d MiB of %d read from the disk", what, took.Seconds(),
			float64(size)/took.Seconds()/1e9, after.user-before.user, after.system-before.system, after.minor-before.minor, after.major-before.major, read>>20, size>>20)
		if read > size+size/50 {
			b.Errorf("%s: %d bytes were read of a file of %d: each once", what, read, size)
		}
	}
	ratio := func(loading, reading string) float64 {
		r := fastest[loading].Seconds() / fastest[reading].Seconds()
		b.Logf("%s: %s takes %.2f times as long as %s", typ, loading, r, reading)
		return r
	}
	const disk, cache, cold, warm = "reading from the disk", "reading from the cache", "packing from the disk", "packing from the cache"
	for range loadRounds {
		forget(b, path)
		measure(disk, func() { readReused(b, path) })
		if typ != ggml.F32 {
			measure(cache, func() { readNew(b, path, size) })
		}
		for _, d := range library.Devices() {
			products := product.On(d, isa.Best)
			if typ != ggml.F32 && !products.Any() {
				continue
			}
			backend, err := d.Open(ggml.Options{})
			if err != nil {
				b.Fatal(err)
			}
			from := "loading for " + d.Name()
			if typ != ggml.F32 {
				from = cold
				measure(warm, func() { load(b, backend, products, path, matrices, rows) })
			}
			forget(b, path)
			measure(from, func() { load(b, backend, products, path, matrices, rows) })
			if err := backend.Close(); err != nil {
				b.Error(err)
			}
		}
	}
	if _, ok := fastest[warm]; ok {
		if r := ratio(cold, disk); r > 1.3 {
			b.Errorf("packing from the disk takes %.2f times as long as reading, want at most 1.3", r)
		}
		ratio(warm, cache)
	}
}

// usage is what the process has used so far.
type usage struct {
	user, system float64 // seconds
	minor, major int64   // page faults
	read         int64   // bytes from disks
}

func usageOf(b *testing.B) usage {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return usage{float64(u.Utime.Nano()) / 1e9, float64(u.Stime.Nano()) / 1e9, u.Minflt, u.Majflt, readFromDisk(b)}
}

// readReused reads a file to a buffer, piece by piece.
func readReused(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 4<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		b.Fatal(err)
	}
}

// readNew reads a file to new memory in huge pages, on all cores.
func readNew(b *testing.B, path string, size int64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	to, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		b.Fatal(err)
	}
	_ = unix.Madvise(to, unix.MADV_HUGEPAGE)
	var (
		workers sync.WaitGroup
		next    atomic.Int64
	)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				from := next.Add(stripe) - stripe
				if from >= size {
					return
				}
				if _, err := f.ReadAt(to[from:min(from+stripe, size)], from); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if err := errors.Join(unix.Munmap(to), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// load loads all matrices of a file for a device, and waits until they are there.
func load(t testing.TB, b *ggml.Backend, p product.Products, path string, matrices, rows int) {
	t.Helper()
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
	sum := byte(0)
	for _, x := range w.inPlace { // as a step would, from the first to the last
		for data := f.Data(x); len(data) > 0; data = data[min(4096, len(data)):] {
			sum += data[0]
		}
	}
	if sum == 1 {
		t.Log("the bytes are wanted")
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Error(err)
	}
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
