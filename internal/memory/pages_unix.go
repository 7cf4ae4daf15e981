//go:build unix

package memory

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func pages(size int64) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory: %d bytes of new pages: %w", size, err)
	}
	return memory, nil
}

func freePages(memory []byte) {
	_ = unix.Munmap(memory) // it fails for what is no mapping alone
}
