package main

import (
	"errors"
	"io"
	"os"

	"github.com/seed4d217819/ebb/bench"
)

// resultFile is where a report's JSON goes. It is opened before anything is measured, so that no result is lost to a
// name that cannot be written; what it held stays until there is a result. The zero value writes nothing.
type resultFile struct {
	file *os.File
	made bool // it did not exist before
}

func openResult(name string) (*resultFile, error) {
	if name == "" {
		return &resultFile{}, nil
	}
	_, err := os.Stat(name)
	made := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &resultFile{f, made}, nil
}

// write replaces what the file holds.
func (r *resultFile) write(report *bench.Report) error {
	if r.file == nil {
		return nil
	}
	r.made = false
	if info, err := r.file.Stat(); err == nil && info.Mode().IsRegular() {
		if err := r.file.Truncate(0); err != nil {
			return err
		}
		if _, err := r.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return report.WriteJSON(r.file)
}

// Close closes the file, and removes it if it was made for nothing.
func (r *resultFile) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	if r.made {
		err = errors.Join(err, os.Remove(r.file.Name()))
	}
	return err
}

// openFolder makes a folder unless it is there, and sees that files can be written into it.
func openFolder(name string) error {
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(name, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(name, ".ebb-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
