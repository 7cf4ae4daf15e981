// Package directio reads and writes files past the page cache, where the file system can.
package directio

import (
	"errors"
	"io"
	"os"
	"reflect"
)

// Sector is a multiple of the unit in which all usual disks transfer.
const Sector = 4096

// Open opens a file for reads past the page cache, or, where a trial shows that the file system
// refuses them, for reads through it with readahead. The caller closes the file.
func Open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if Bypass(f) && readable(f) {
		return f, nil
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if f, err = os.Open(path); err != nil {
		return nil, err
	}
	readAhead(f)
	return f, nil
}

// readable reports whether the first sector of a file can be read.
func readable(f *os.File) bool {
	_, err := f.ReadAt(Aligned(make([]byte, 2*Sector), Sector), 0)
	return err == nil || errors.Is(err, io.EOF)
}

// Aligned returns the first n bytes of memory that begin at a multiple of Sector. The memory has
// Sector bytes more than n.
func Aligned(b []byte, n int) []byte {
	past := int(reflect.ValueOf(b).Pointer() % Sector)
	return b[(Sector-past)%Sector:][:n]
}

// Read reads the bytes [at, at+n) of a file that Open has opened into a buffer, and returns the part
// of the buffer that has them. The buffer begins at a multiple of Sector and has 2 × Sector bytes
// more than n. The error of a file that ends before is io.ErrUnexpectedEOF.
func Read(f io.ReaderAt, buffer []byte, at int64, n int) ([]byte, error) {
	before := int(at % Sector)
	whole := (before + n + Sector - 1) / Sector * Sector
	got, err := f.ReadAt(buffer[:whole], at-int64(before))
	switch {
	case got >= before+n:
		return buffer[before:][:n], nil // what is behind it may have no whole sector
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	default:
		return nil, err
	}
}
