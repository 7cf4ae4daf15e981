//go:build unix

package directio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncDir waits until a folder's names are on the disk. File systems that cannot say are taken at
// their word.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
