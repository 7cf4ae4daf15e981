//go:build !unix

package gguf

import (
	"fmt"
	"io"
	"os"
)

const mapped = false

// mapFile reads the file into memory: the portable stand-in for a mapping.
func mapFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %d bytes: %w", size, err)
	}
	return data, nil
}

func unmapFile([]byte) error { return nil }

func releasePages([]byte) error { return nil }

func prefetchPages([]byte) {}
