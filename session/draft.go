package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb/internal/directio"
)

// draft is a file that is written under a temporary name, and gets its own when it is whole.
type draft struct {
	path, temporary string
	file            file // nil: closed
	system          system
	done            bool // it has its name, or was removed
}

// file is what a draft is written to.
type file interface {
	io.WriterAt
	Sync() error
	Close() error
}

// system is what a save asks of the operating system. Tests make each call fail.
type system struct {
	create  func(path string) (file, error)
	rename  func(from, to string) error
	syncDir func(dir string) error
}

func operatingSystem() system {
	return system{
		create: func(path string) (file, error) {
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return nil, err
			}
			return &growingFile{File: f}, nil
		},
		rename:  os.Rename,
		syncDir: directio.SyncDir,
	}
}

// growingFile is a file that the disk begins to write while more of it comes, so that a sync has little
// left to wait for.
type growingFile struct {
	*os.File
	begun, end int64 // bytes before begun are being written; those before end have come
}

// writeBytes is how many bytes a disk is given to write at a time.
const writeBytes = 8 << 20

// WriteAt writes b. What comes in the order of the file is begun to be written in large pieces.
func (f *growingFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	if err != nil || at != f.end {
		f.begun, f.end = max(f.begun, at), max(f.end, at+int64(n))
		return n, err
	}
	if f.end += int64(n); f.end-f.begun >= writeBytes {
		directio.StartWriting(f.File, f.begun, f.end-f.begun)
		f.begun = f.end
	}
	return n, nil
}

// newDraft creates the file. The caller closes the draft.
func newDraft(path string, s system) (*draft, error) {
	d := &draft{path: path, temporary: temporary(path), system: s}
	var err error
	if d.file, err = s.create(d.temporary); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return d, nil
}

// temporary returns the name under which a file is written.
func temporary(path string) string { return path + ".part" }

// sweep removes the draft of a file that a killed process has left.
func sweep(path string) error {
	if err := os.Remove(temporary(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("session: removing what is left of a save: %w", err)
	}
	return nil
}

// writeAt writes bytes at an offset.
func (d *draft) writeAt(b []byte, at int64) error {
	if _, err := d.file.WriteAt(b, at); err != nil {
		return d.failed(err)
	}
	return nil
}

// commit waits until the file is on the disk, and gives it its name. A file that had the name is gone
// then, and not before.
func (d *draft) commit() error {
	if err := d.file.Sync(); err != nil {
		return d.failed(err)
	}
	err := d.file.Close()
	d.file = nil
	if err != nil {
		return d.failed(err)
	}
	if err := d.system.rename(d.temporary, d.path); err != nil {
		return d.failed(err)
	}
	d.done = true
	if err := d.system.syncDir(filepath.Dir(d.path)); err != nil {
		return d.failed(err)
	}
	return nil
}

func (d *draft) failed(err error) error { return fmt.Errorf("session: writing %s: %w", d.path, err) }

// close removes what was written, unless it was committed.
func (d *draft) close() error {
	var errs []error
	if d.file != nil {
		errs = append(errs, d.file.Close())
		d.file = nil
	}
	if !d.done {
		d.done = true
		errs = append(errs, os.Remove(d.temporary))
	}
	return errors.Join(errs...)
}
