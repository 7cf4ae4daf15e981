package memory

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestPopulatedPagesAreThereBeforeTheyAreTouched(t *testing.T) {
	const page = 4096
	data, err := unix.Mmap(-1, 0, 64*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(data) }()
	err = unix.Madvise(data[:page], unix.MADV_POPULATE_WRITE)
	if err != nil {
		t.Logf("the system cannot do that, and nothing changes: %v", err)
	}
	can := err == nil
	from := uintptr(unsafe.Pointer(&data[0]))
	Populate(from, 0)
	Populate(from+16*page+100, 9*page) // pages 16 to 25
	there := make([]byte, 64)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, from, 64*page, uintptr(unsafe.Pointer(&there[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for i, is := range there {
		if want := can && (i == 0 || i >= 16 && i <= 25); is&1 == 1 != want {
			t.Errorf("page %d is there: %v; want %v", i, is&1 == 1, want)
		}
	}
}
