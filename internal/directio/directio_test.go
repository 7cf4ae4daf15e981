package directio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Any bytes can be read, wherever they and the file end.
func TestReadReturnsTheBytesOfTheFile(t *testing.T) {
	dir := t.TempDir()
	for _, direct := range []bool{true, false} {
		for _, size := range []int{1, Sector, 3*Sector + 100} {
			want := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
			open := Open
			if !direct {
				open = os.Open
			}
			f, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 1, 511, Sector - 1, Sector, 2*Sector + 7, 3*Sector + 99} {
				for _, n := range []int{1, 100, Sector, Sector + 1, 3 * Sector} {
					buffer := Aligned(make([]byte, n+3*Sector), n+2*Sector)
					got, err := Read(f, buffer, int64(at), n)
					if at+n > size {
						if !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("[%d,%d) of %d bytes: %v; want %v", at, at+n, size, err, io.ErrUnexpectedEOF)
						}
						continue
					}
					if err != nil || !bytes.Equal(got, want[at:at+n]) {
						t.Errorf("[%d,%d) of %d bytes: other bytes, or %v", at, at+n, size, err)
					}
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
