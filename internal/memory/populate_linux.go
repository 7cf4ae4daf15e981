package memory

import "golang.org/x/sys/unix"

// populate is for Linux 5.14 and later.
func populate(from, size uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, size, unix.MADV_POPULATE_WRITE) // a refusal harms nothing
}
