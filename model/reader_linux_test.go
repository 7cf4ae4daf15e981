package model

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// readFromDisk returns how many bytes the process has had the disk read.
func readFromDisk(t testing.TB) (bytes int64) {
	t.Helper()
	f, err := os.Open("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "read_bytes: %d", &bytes); err == nil {
			return bytes
		}
	}
	t.Fatal("/proc/self/io has no read_bytes")
	return 0
}

// writeUncached writes matrices of F32 [1024, rows] to a file that is not in memory afterwards.
func writeUncached(t *testing.T, matrices, rows int) (path string, data []byte) {
	t.Helper()
	data = make([]byte, 4*1024*rows)
	for i := range data {
		data[i] = byte(i*7+i>>10) & 0x3f // no number is large
	}
	var tensors []gguf.TensorData
	for i := range matrices {
		tensors = append(tensors, gguf.TensorData{Name: fmt.Sprintf("m%d.weight", i), Type: gguf.F32, Shape: []int64{1024, int64(rows)}, Data: data})
	}
	var file bytes.Buffer
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "weights.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	return path, data
}

// Weights that are used in place are read once, all of them, without anybody touching them; as many as
// there is said to be room for.
func TestMappedWeightsAreReadOnceAheadOfTheirUse(t *testing.T) {
	const matrices, rows, size = 3, 6 << 10, 4 * 1024 * 6 << 10
	for _, room := range []int64{1 << 40, size, 0} {
		path, _ := writeUncached(t, matrices, rows)
		b, before := testmodel.CPU(t, 1), readFromDisk(t)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		l := NewLoader(f, Devices{Input: b, Output: b, Room: room})
		for i := range matrices {
			l.Linear(fmt.Sprintf("m%d", i), 1024, rows)
		}
		w, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		if len(w.inPlace) != matrices {
			t.Skip("cpu: it has a faster order for f32")
		}
		wanted := min(room/size, matrices) * size
		if w.reader != nil {
			<-w.reader.ended
		}
		at := f.Mapping(0)
		sum := byte(0)
		for i := int64(0); i < w.inPlace[0].Offset+wanted; i += 4096 { // waits for what was asked for
			sum += at[i]
		}
		got := readFromDisk(t) - before
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got == 0 && wanted > 0 {
			t.Log("the file is on no disk: what is read is not counted")
			return
		}
		const around = 9 << 20 // the header, and what a disk reads ahead
		if got < wanted || got > wanted+around {
			t.Errorf("with room for %d bytes %d were read (sum %d), want %d", room, got, sum, wanted)
		}
	}
}

// A device that copies is given pieces of each matrix, in the order of the file.
func TestCopiedWeightsAreReadOnceAndKeepNoMemoryOfTheirFile(t *testing.T) {
	const matrices, rows = 2, 9 << 9 // two pieces and a half each
	b := testmodel.Vulkan(t)
	path, data := writeUncached(t, matrices, rows)
	before := readFromDisk(t)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	l := NewLoader(f, Devices{Input: b, Output: b})
	var all []Linear
	for i := range matrices {
		all = append(all, l.Linear(fmt.Sprintf("m%d", matrices-1-i), 1024, rows)) // not in the order of the file
	}
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	read := readFromDisk(t) - before
	got := make([]byte, len(data))
	for i, m := range all {
		if m.Weight.Get(got, 0); !bytes.Equal(got, data) {
			t.Errorf("matrix %d has other bytes on the device", i)
		}
	}
	if info, err := os.Stat(path); err != nil || read > info.Size()+1<<20 {
		t.Errorf("%d bytes were read of a file of %d, %v: each once", read, info.Size(), err)
	}
	if left := residentBytes(t, path); left > 1<<20 {
		t.Errorf("%d bytes of the file's mapping are in memory, want none", left)
	}
}
