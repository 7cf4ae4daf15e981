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

// readAhead has the system read a file ahead of those who read it from beginning to end. That it may
// fail harms nothing.
func readAhead(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
}
