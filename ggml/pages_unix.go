//go:build unix

package ggml

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pages returns memory from the system, all of it zero, which takes no room before it is touched: a page is in
// memory with its first byte. The owner gives it back with freePages. The size is not 0.
func pages(size int64) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("%d bytes of new pages: %w", size, err)
	}
	return memory, nil
}

// freePages gives the memory of pages back. It must not be used any more.
func freePages(memory []byte) {
	_ = unix.Munmap(memory) // it fails for what is no mapping alone
}
