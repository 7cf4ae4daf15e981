//go:build unix

package gguf

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapped reports that mapFile maps. Where it reads the file instead, a device has nothing to map in
// place.
const mapped = true

// mapFile maps size bytes of f, read-only and shared, so that pages come from the file when they
// are touched.
func mapFile(f *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	return data, nil
}

func unmapFile(data []byte) error {
	if err := unix.Munmap(data); err != nil {
		return fmt.Errorf("unmap: %w", err)
	}
	return nil
}

// releasePages takes pages of a mapping out of memory. The system keeps them as long as it has room
// for them, as it does for files that are read.
func releasePages(pages []byte) error {
	if err := unix.Madvise(pages, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("release %d bytes: %w", len(pages), err)
	}
	return nil
}

// advised is how many bytes the system is advised to read at once. Linux reads no more for one advice
// than the device reads ahead, and this is what most do.
const advised = 128 << 10

// prefetchPages has the system read pages of a mapping. A refusal harms nothing: they are read when
// they are touched.
func prefetchPages(pages []byte) {
	for len(pages) > 0 {
		n := min(advised, len(pages))
		_ = unix.Madvise(pages[:n], unix.MADV_WILLNEED)
		pages = pages[n:]
	}
}
