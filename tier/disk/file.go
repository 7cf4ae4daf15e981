package disk

import (
	"errors"
	"io"
	"os"
)

// file is what a tier reads and writes. Reads and writes may be concurrent.
type file interface {
	io.ReaderAt
	io.WriterAt
	// ReadVector reads as many bytes as the pieces have from an offset on, one piece after the
	// other. It is false if this file cannot.
	ReadVector(pieces [][]byte, offset int64) (ok bool, err error)
	// Extend makes the file longer, with room on the disk for all of its bytes.
	Extend(from, to int64) error
	// Shrink gives back the room from an offset on.
	Shrink(to int64) error
	// Punch gives back the room of n bytes from an offset on. They read as zeros.
	Punch(offset, n int64) error
	Close() error
}

// rowFile is a file on a disk.
type rowFile struct {
	*os.File
	direct bool
}

var _ file = (*rowFile)(nil)

// ReadAt reads len(b) bytes, which leave the page cache at once.
func (f *rowFile) ReadAt(b []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(b, offset)
	if !f.direct {
		forget(f.File, offset, int64(n))
	}
	return n, short(err)
}

// WriteAt writes b.
func (f *rowFile) WriteAt(b []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(b, offset)
	if err == nil && !f.direct {
		err = flush(f.File, offset, int64(n))
	}
	return n, err
}

// Shrink gives back the room from an offset on.
func (f *rowFile) Shrink(to int64) error { return f.Truncate(to) }

// Close closes the file and removes it.
func (f *rowFile) Close() error {
	return errors.Join(f.File.Close(), remove(f.Name()))
}

// short turns the end of a file that is too short into an error that says so.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
