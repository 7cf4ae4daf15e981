package gguf_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/gguf"
)

// readFromDisk returns how many bytes the process has had the disk read.
func readFromDisk(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "read_bytes: %d", &n); err == nil {
			return n
		}
	}
	t.Fatal("/proc/self/io has no read_bytes")
	return 0
}

// All of a large range is read, though for one advice the system reads no more than a disk reads ahead.
func TestPrefetchReadsAllOfALargeRange(t *testing.T) {
	const size = 40 << 20
	var file bytes.Buffer
	tensor := gguf.TensorData{Name: "t", Type: gguf.I8, Shape: []int64{size}, Data: make([]byte, size)}
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, []gguf.TensorData{tensor}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "large.gguf")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if _, err := w.Write(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(w.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	before := readFromDisk(t)
	f := open(t, path)
	f.Prefetch(0, 0, int64(file.Len()))
	got := readFromDisk(t) - before
	if got == 0 {
		t.Log("the file is on no disk: what is read is not counted")
		return
	}
	if got < size || got > size+16<<20 {
		t.Errorf("%d bytes were asked for, want all %d once", got, size)
	}
}
