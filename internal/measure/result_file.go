package measure

import (
	"errors"
	"io"
	"os"
)

// resultFile is where a report's JSON goes. It is opened before anything is measured, so that no
// result is lost to a name that cannot be written. The file keeps its content until there is a
// result. The zero value writes nothing.
type resultFile struct {
	file    *os.File
	created bool // it did not exist before, and nothing was written yet
}

func openResult(name string) (*resultFile, error) {
	if name == "" {
		return &resultFile{}, nil
	}
	_, err := os.Stat(name)
	created := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &resultFile{f, created}, nil
}

// write replaces the content of the file.
func (r *resultFile) write(report *Report) error {
	if r.file == nil {
		return nil
	}
	r.created = false
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

// Close closes the file, and removes it if it was created and nothing was written.
func (r *resultFile) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	if r.created {
		err = errors.Join(err, os.Remove(r.file.Name()))
	}
	return err
}
