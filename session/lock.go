package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb/internal/filelock"
)

// ErrLocked says that another process uses a session.
var ErrLocked = errors.New("another process uses the session")

// Lock is the right to use a session. It ends with Close, and with the process.
type Lock struct {
	path string
	file *os.File
}

// Acquire takes the lock of the session at a path, whether or not the session exists, and removes
// what a save has left there whose process was killed. It does not wait: if another process has the
// lock, the error wraps ErrLocked. The caller closes the lock.
func Acquire(path string) (*Lock, error) {
	l := &Lock{path: path + ".lock"}
	for {
		f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("session: there is no folder %s: create it, or name a file in another one", filepath.Dir(path))
		}
		if err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
		ok, err := filelock.Try(f)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("session: lock %s: %w", l.path, err), f.Close())
		case !ok:
			return nil, errors.Join(fmt.Errorf("session: %w: %s; end that process, or name another file", ErrLocked, path), f.Close())
		}
		if l.file = f; l.current() {
			if err := sweep(path); err != nil {
				return nil, errors.Join(err, l.Close())
			}
			return l, nil
		}
		if err := f.Close(); err != nil { // its owner removed it while this process opened it
			return nil, fmt.Errorf("session: %w", err)
		}
	}
}

// current reports whether the lock's file is the one that has its name.
func (l *Lock) current() bool {
	named, err := os.Stat(l.path)
	if err != nil {
		return false
	}
	mine, err := l.file.Stat()
	return err == nil && os.SameFile(named, mine)
}

// Close gives the lock back and removes its file.
func (l *Lock) Close() error {
	err := os.Remove(l.path) // while the lock is held: nobody else has it
	return errors.Join(err, l.file.Close())
}
