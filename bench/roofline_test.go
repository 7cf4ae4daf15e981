package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCopyingReachesEveryByte(t *testing.T) {
	for _, size := range []int64{1, 5, 4096} {
		for _, threads := range []int{1, 2, 3} {
			from := nonZero(size)
			to := make([]byte, size)
			copyAll(to, from, threads)
			if !bytes.Equal(to, from) {
				t.Errorf("%d bytes, %d threads: the copy is not like what was copied", size, threads)
			}
		}
	}
}

func TestDiskIsReadFromAFileThatIsGoneAfterwards(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("disk: measured on Linux only")
	}
	folder := t.TempDir()
	arms, err := diskArms(t.Context(), folder)
	if err != nil && strings.Contains(err.Error(), "without O_DIRECT") {
		t.Skipf("disk: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := arms[0].step(t.Context(), 1); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := closeAll(arms); err != nil {
		t.Errorf("close: %v", err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left (%v): want none", len(left), err)
	}
}

func TestFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	if _, err := diskArms(t.Context(), filepath.Join(t.TempDir(), "nowhere")); err == nil || !strings.Contains(err.Error(), "bench: disk: ") {
		t.Errorf("error %v: want one of the disk", err)
	}
}
