//go:build !linux

package doctor

import (
	"context"
	"errors"
	"time"
)

var errOtherSystem = errors.New("disks are measured on Linux only")

// DiskFile is a file that is written and read as a whole, to time a disk.
type DiskFile struct{ bytes int64 }

// OpenDiskFile returns an error: disks are measured on Linux only.
func OpenDiskFile(string, int64) (*DiskFile, error) { return nil, errOtherSystem }

// Direct reports whether transfers bypass the page cache.
func (f *DiskFile) Direct() bool { return false }

// Close does nothing.
func (f *DiskFile) Close() error { return nil }

func freeBytes(string) (int64, error) { return 0, errOtherSystem }

func (f *DiskFile) write(context.Context, time.Time) (int64, error) { return 0, errOtherSystem }

func (f *DiskFile) read(context.Context, int64, time.Time) (int64, error) { return 0, errOtherSystem }
