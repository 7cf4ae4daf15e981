package blockfile

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed4d217819/ebb/internal/directio"
)

// system is what a store asks of the operating system. Tests make each call fail.
type system struct {
	open    func(path string) (input, error)
	create  func(path string) (file, error)
	read    func(path string, buffer []byte, at int64, n int) ([]byte, error) // as directio.Read
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(dir string) error
	chtimes func(path string, t time.Time) error
}

// input is a file whose header is read.
type input interface {
	io.ReaderAt
	Stat() (os.FileInfo, error)
	Close() error
}

// file is what a draft is written to.
type file interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (os.FileInfo, error)
	Close() error
}

func operatingSystem() system {
	var r rowReader
	return system{
		open: func(path string) (input, error) { return os.Open(path) },
		create: func(path string) (file, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		},
		read:    r.read,
		rename:  os.Rename,
		remove:  os.Remove,
		syncDir: directio.SyncDir,
		chtimes: func(path string, t time.Time) error { return os.Chtimes(path, t, t) },
	}
}

// passing reports whether an error says nothing of a file: the process or the system has too many open.
func passing(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// rowReader reads files past the page cache, unless the file system has shown that it cannot.
type rowReader struct{ cached atomic.Bool }

// read opens a file and reads some of it. Opening takes some microseconds, and a conversation of many
// blocks would have more files than a process may keep open.
func (r *rowReader) read(path string, buffer []byte, at int64, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	direct := !r.cached.Load() && directio.Bypass(f)
	b, err := directio.Read(f, buffer, at, n)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if !direct || !errors.Is(err, syscall.EINVAL) {
		return b, err
	}
	r.cached.Store(true)
	return r.read(path, buffer, at, n)
}
