package measure

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Forget drops a file from the page cache, so that it is read from its disk.
func Forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = f.Close() }() // it is only read
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("bench: %w", &os.PathError{Op: "fadvise", Path: path, Err: err})
	}
	return nil
}
