package directio

import (
	"os"

	"golang.org/x/sys/unix"
)

// Bypass makes reads and writes of a file bypass the page cache. It reports false where the file
// system cannot do that. Offsets, lengths and addresses of transfers must then be multiples of the
// device's sectors.
func Bypass(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_DIRECT)
	return err == nil
}

// StartWriting has the system begin to write bytes of a file to the disk, which it would do later
// otherwise. That it may fail harms nothing: a sync tells.
func StartWriting(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}

// readAhead has the system read a file ahead of those who read it from beginning to end. That it may
// fail harms nothing.
func readAhead(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
}
