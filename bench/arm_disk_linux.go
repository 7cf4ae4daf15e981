package bench

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	diskSize    = 256 << 20
	diskRequest = 4 << 20 // bytes of a read
	diskReaders = 4       // at a time: one request alone does not busy a fast disk
)

// diskArms read a file in a folder, past the page cache. It is written first,
// and gone when the arm closes.
func diskArms(ctx context.Context, folder string) (_ []*transferArm, err error) {
	f, err := os.CreateTemp(folder, "ebb-bench-*")
	if err != nil {
		return nil, fmt.Errorf("bench: disk: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("bench: disk: %w", errors.Join(err, os.Remove(f.Name())))
		}
	}()
	defer func() { err = errors.Join(err, f.Close()) }()
	block := nonZero(diskRequest)
	for range diskSize / diskRequest {
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	r, err := os.OpenFile(f.Name(), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, fmt.Errorf("%w; a file system without O_DIRECT cannot be measured", err)
	}
	// Mapped memory lies at a page, as O_DIRECT wants it.
	memory, err := unix.Mmap(-1, 0, diskReaders*diskRequest, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return []*transferArm{{
		label: "disk read, past the page cache", bytes: diskSize,
		move: func() error { return readFile(r, memory) },
		free: func() error { return errors.Join(unix.Munmap(memory), r.Close(), os.Remove(f.Name())) },
	}}, nil
}

// readFile reads the whole file, each reader every so-manyth request.
func readFile(r *os.File, memory []byte) error {
	errs := make([]error, diskReaders)
	inParallel(diskReaders, func(i int) {
		into := memory[i*diskRequest:][:diskRequest]
		for at := i * diskRequest; at < diskSize && errs[i] == nil; at += diskReaders * diskRequest {
			_, errs[i] = r.ReadAt(into, int64(at))
		}
	})
	return errors.Join(errs...)
}
