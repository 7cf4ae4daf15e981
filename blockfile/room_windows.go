package blockfile

import (
	"os"

	"golang.org/x/sys/windows"
)

// freeBytes returns how much of the disk of a folder is free for this user.
func freeBytes(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return int64(free), nil
}

// allocated returns how many bytes a file takes on the disk.
func allocated(info os.FileInfo) int64 { return info.Size() }
