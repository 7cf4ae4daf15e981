package memory

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// huge returns how many bytes of the mappings within a range are in huge pages.
func huge(t *testing.T, from, to uintptr) (bytes int64) {
	t.Helper()
	all, err := Mappings()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.From >= from && m.To <= to {
			bytes += m.Huge
		}
	}
	return bytes
}

func TestMemoryIsInHugePagesWhereTheSystemHasThem(t *testing.T) {
	setting, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || bytes.Contains(setting, []byte("[never]")) {
		t.Skipf("no huge pages here: %s%v", setting, err)
	}
	const size = 16 * hugePage
	data, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(data) }()
	base := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	// A page is left out at both ends, so that the range begins and ends within a huge page.
	page := os.Getpagesize()
	UseHugePages(base+uintptr(page), int64(size-2*page))
	for i := 0; i < size; i += page {
		data[i] = 1
	}
	got := huge(t, base, base+size)
	if got == 0 {
		t.Skip("the system has no huge page free")
	}
	if most := int64(size - hugePage); got > most || got%hugePage != 0 {
		t.Errorf("%d bytes are in huge pages, want at most %d: those that lie in the range as a whole", got, most)
	}
}

func TestHugePagesAreAskedForOnlyWithinTheRange(t *testing.T) {
	data, err := unix.Mmap(-1, 0, 4*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(data) }()
	base := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	aligned := (base + hugePage - 1) &^ (hugePage - 1)
	for _, size := range []int64{-1, 0, 1, hugePage - 1} {
		UseHugePages(aligned+1, size)
	}
	UseHugePages(aligned+1, 2*hugePage-2) // one byte less than whole pages at both ends
	data[aligned-base] = 1
	if got := huge(t, base, base+4*hugePage); got != 0 {
		t.Errorf("%d bytes are in huge pages, want none: no huge page lies within the ranges as a whole", got)
	}
}
