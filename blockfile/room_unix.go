//go:build linux || darwin

package blockfile

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeBytes returns how much of the disk of a folder is free for this user.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // Bsize has other types elsewhere
}

// allocated returns how many bytes a file takes on the disk.
func allocated(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}
