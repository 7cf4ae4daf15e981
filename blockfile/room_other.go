//go:build !linux && !darwin && !windows

package blockfile

import (
	"errors"
	"os"
)

// freeBytes is for Linux, macOS and Windows.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

// allocated returns how many bytes a file takes on the disk.
func allocated(info os.FileInfo) int64 { return info.Size() }
