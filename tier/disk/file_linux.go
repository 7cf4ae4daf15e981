package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// maxVector is how many pieces one call reads at most (IOV_MAX).
const maxVector = 1024

// ReadVector reads pieces that lie behind each other in the file.
func (f *rowFile) ReadVector(pieces [][]byte, offset int64) (ok bool, err error) {
	for len(pieces) > 0 {
		n := min(len(pieces), maxVector)
		if err := f.readVector(pieces[:n], &offset); err != nil {
			return true, err
		}
		pieces = pieces[n:]
	}
	return true, nil
}

// readVector reads as many pieces as one call may, and advances the offset.
func (f *rowFile) readVector(pieces [][]byte, offset *int64) error {
	want := 0
	for _, p := range pieces {
		want += len(p)
	}
	for {
		n, err := unix.Preadv(int(f.Fd()), pieces, *offset)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &os.PathError{Op: "preadv", Path: f.Name(), Err: err}
		case n == want:
			*offset += int64(n)
			return nil
		}
		return f.readRest(pieces, n, offset)
	}
}

// readRest reads what a call left out of some pieces, which it does where the file ends.
func (f *rowFile) readRest(pieces [][]byte, done int, offset *int64) error {
	for _, p := range pieces {
		if done >= len(p) {
			done -= len(p)
			*offset += int64(len(p))
			continue
		}
		if _, err := f.ReadAt(p, *offset); err != nil {
			return err
		}
		done = 0
		*offset += int64(len(p))
	}
	return nil
}

// Extend makes the file longer and reserves its room, where the file system can do that.
func (f *rowFile) Extend(from, to int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, from, to-from)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return f.Truncate(to)
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// Punch gives back the room of bytes in the middle of the file.
func (f *rowFile) Punch(offset, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// forget drops bytes of a file from the page cache. That it may fail harms nothing.
func forget(f *os.File, offset, n int64) {
	_ = unix.Fadvise(int(f.Fd()), offset, n, unix.FADV_DONTNEED)
}

// flush writes bytes of a file to the disk and drops them from the page cache.
func flush(f *os.File, offset, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), offset, n, all)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ESPIPE) {
		return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
	forget(f, offset, n)
	return nil
}
