//go:build unix

package product

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// guarded returns memory that ends or begins where a page is that nothing may read.
func guarded(t testing.TB, size int, where guard) []byte {
	t.Helper()
	page := os.Getpagesize()
	whole := (size + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, page+whole+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	for _, beside := range [][]byte{m[:page], m[page+whole:]} {
		if err := unix.Mprotect(beside, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if where == guardBefore {
		return m[page:][:size:size]
	}
	return m[page+whole-size:][:size:size]
}
