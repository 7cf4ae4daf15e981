package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// DiskFile is a file without a name that is written and read as a whole, to time a disk: four
// requests of 1 MiB at a time, past the page cache where that is possible. One goroutine uses it at
// a time.
type DiskFile struct {
	file   *os.File
	bytes  int64
	data   []byte // of the requests under way
	direct bool
}

// OpenDiskFile creates a file of some bytes in a folder, rounded up to a multiple of 4096. It has no
// name, so nothing of it remains, however the program ends. The caller closes it.
func OpenDiskFile(dir string, bytes int64) (*DiskFile, error) {
	if free, err := freeBytes(dir); err != nil {
		return nil, err
	} else if bytes > free {
		return nil, fmt.Errorf("only %s are free, and %s are needed", bytesize.Floor(free), bytesize.Ceil(bytes))
	}
	f := &DiskFile{bytes: (bytes + diskSector - 1) / diskSector * diskSector}
	if err := f.open(dir); err != nil {
		return nil, err
	}
	// The buffer is mapped, because O_DIRECT needs one that begins at a page.
	data, err := unix.Mmap(-1, 0, diskDepth*diskPiece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory for %d requests: %w", diskDepth, err), f.file.Close())
	}
	fill(data)
	f.data = data
	return f, nil
}

// Direct reports whether transfers bypass the page cache. Where they do not, reads may come from
// memory.
func (f *DiskFile) Direct() bool { return f.direct }

// Close removes the file.
func (f *DiskFile) Close() error { return errors.Join(unix.Munmap(f.data), f.file.Close()) }

// freeBytes returns how many bytes are free in a folder.
func freeBytes(dir string) (int64, error) {
	s, err := statfs(dir)
	return int64(s.Bavail) * s.Bsize, err
}

func statfs(dir string) (s unix.Statfs_t, err error) {
	if err := unix.Statfs(dir, &s); err != nil {
		return s, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return s, nil
}

// open creates a file without a name, for O_DIRECT if the file system supports it.
func (f *DiskFile) open(dir string) error {
	s, err := statfs(dir)
	if err != nil {
		return err
	}
	inMemory := s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC // newer kernels accept O_DIRECT even there
	for _, flag := range []int{unix.O_DIRECT, 0} {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flag, 0o600)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // the file system has no such files
			fd, err = openAndUnlink(dir, flag)
		}
		if err == nil {
			f.direct = flag != 0 && !inMemory
			f.file = os.NewFile(uintptr(fd), dir)
			return nil
		}
		if !errors.Is(err, unix.EINVAL) {
			return &os.PathError{Op: "open a file in", Path: dir, Err: err}
		}
	}
	return &os.PathError{Op: "open a file in", Path: dir, Err: unix.EINVAL}
}

// openAndUnlink creates a file and removes its name at once.
func openAndUnlink(dir string, flag int) (int, error) {
	named, err := os.CreateTemp(dir, "ebb-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = named.Close() }()
	fd, err := unix.Open(named.Name(), unix.O_RDWR|unix.O_CLOEXEC|flag, 0)
	return fd, errors.Join(err, os.Remove(named.Name()))
}

// write writes the file from its beginning until an end (zero: all of it), and returns the bytes
// written, which are on the disk.
func (f *DiskFile) write(ctx context.Context, end time.Time) (int64, error) {
	written, err := f.each(ctx, f.bytes, end, func(b []byte, offset int64) error {
		_, err := f.file.WriteAt(b, offset)
		return err
	})
	if err == nil {
		err = unix.Fdatasync(int(f.file.Fd()))
	}
	return written, err
}

// read reads the first bytes of the file until an end (zero: all of them), and returns how many
// were read.
func (f *DiskFile) read(ctx context.Context, bytes int64, end time.Time) (int64, error) {
	if !f.direct {
		_ = unix.Fadvise(int(f.file.Fd()), 0, 0, unix.FADV_DONTNEED) // or the reads come from memory; Direct says that they may
	}
	return f.each(ctx, bytes, end, func(b []byte, offset int64) error {
		_, err := f.file.ReadAt(b, offset)
		return err
	})
}

// each calls do for piece after piece of some bytes, with several workers, until all are done, the
// time is up, or ctx ends. It returns how many bytes are done, which are the first ones.
func (f *DiskFile) each(ctx context.Context, bytes int64, end time.Time, do func(b []byte, offset int64) error) (int64, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, diskDepth)
	for worker := range diskDepth {
		b := f.data[worker*diskPiece:][:diskPiece]
		wg.Go(func() {
			for ctx.Err() == nil && errs[worker] == nil && (end.IsZero() || time.Now().Before(end)) {
				offset := (next.Add(1) - 1) * diskPiece
				if offset >= bytes {
					return
				}
				errs[worker] = do(b[:min(diskPiece, bytes-offset)], offset)
			}
		})
	}
	wg.Wait()
	return min(next.Load()*diskPiece, bytes), errors.Join(ctx.Err(), errors.Join(errs...))
}
