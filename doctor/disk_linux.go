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

func (d *Disk) measure(ctx context.Context) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.Dir, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: d.Dir, Err: err}
	}
	d.Free = int64(s.Bavail) * s.Bsize
	pieces := min(diskBytes, d.Free/diskShare) / diskPiece
	if pieces < diskDepth {
		return fmt.Errorf("only %s are free", bytesize.Format(d.Free))
	}
	f, err := d.open()
	if err != nil {
		return err
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		d.Direct = false // newer kernels accept O_DIRECT here, but the file is in memory all the same
	}
	defer func() { _ = f.Close() }() // it has no name, so closing removes it
	// The buffer is mapped, because O_DIRECT needs one that begins at a page.
	data, err := unix.Mmap(-1, 0, diskDepth*diskPiece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("memory for %d requests: %w", diskDepth, err)
	}
	defer func() { _ = unix.Munmap(data) }()
	fill(data)

	start := time.Now()
	written, err := each(ctx, pieces, func(worker int, piece int64) error {
		_, err := f.WriteAt(data[worker*diskPiece:][:diskPiece], piece*diskPiece)
		return err
	})
	if err == nil {
		err = unix.Fdatasync(int(f.Fd()))
	}
	if err != nil {
		return err
	}
	d.Write = rate(written*diskPiece, time.Since(start))
	if !d.Direct {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // or the reads come from memory; Direct says that they may
	}
	start = time.Now()
	readPieces, err := each(ctx, written, func(worker int, piece int64) error {
		_, err := f.ReadAt(data[worker*diskPiece:][:diskPiece], piece*diskPiece)
		return err
	})
	d.Read = rate(readPieces*diskPiece, time.Since(start))
	return err
}

// open creates a file without a name, for O_DIRECT if the file system supports it.
func (d *Disk) open() (*os.File, error) {
	for _, flag := range []int{unix.O_DIRECT, 0} {
		fd, err := unix.Open(d.Dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flag, 0o600)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // the file system has no such files
			fd, err = openAndUnlink(d.Dir, flag)
		}
		if err == nil {
			d.Direct = flag != 0
			return os.NewFile(uintptr(fd), d.Dir), nil
		}
		if !errors.Is(err, unix.EINVAL) {
			return nil, &os.PathError{Op: "open a file in", Path: d.Dir, Err: err}
		}
	}
	return nil, &os.PathError{Op: "open a file in", Path: d.Dir, Err: unix.EINVAL}
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

// each calls do for piece after piece, with several workers, until all are done, the time is up, or
// ctx ends. It returns the number of pieces done, which are the first ones.
func each(ctx context.Context, pieces int64, do func(worker int, piece int64) error) (int64, error) {
	end := time.Now().Add(diskTime)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, diskDepth)
	for worker := range diskDepth {
		wg.Go(func() {
			for ctx.Err() == nil && errs[worker] == nil && time.Now().Before(end) {
				piece := next.Add(1) - 1
				if piece >= pieces {
					return
				}
				errs[worker] = do(worker, piece)
			}
		})
	}
	wg.Wait()
	return min(next.Load(), pieces), errors.Join(ctx.Err(), errors.Join(errs...))
}
