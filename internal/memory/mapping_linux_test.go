package memory

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestResidentCountsThePagesThatWereTouched(t *testing.T) {
	page := os.Getpagesize()
	data, err := unix.Mmap(-1, 0, 64*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(data) }()
	_ = unix.Madvise(data, unix.MADV_NOHUGEPAGE) // so that a page that is touched brings no others
	for _, i := range []int{0, 7, 8, 40} {
		data[i*page] = 1
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	for _, tt := range []struct {
		from, size, want int
	}{
		{0, 64 * page, 4 * page},
		{0, 0, 0},
		{7*page + 5, page, page},
		{7*page - 100, 200, 100},
		{9 * page, 31 * page, 0},
	} {
		got, err := Resident(base+uintptr(tt.from), int64(tt.size))
		if err != nil || got != int64(tt.want) {
			t.Errorf("%d bytes from %d: %d in memory, %v; want %d", tt.size, tt.from, got, err, tt.want)
		}
	}
	all, err := Mappings()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range all {
		if base >= m.From && base < m.To {
			found = m.Writable && !m.IsFile() && m.Resident >= int64(4*page)
		}
	}
	if !found {
		t.Errorf("no writable anonymous mapping with 4 pages at %#x", base)
	}
}

func TestCodeThatIsGivenBackIsReadAgain(t *testing.T) {
	code := func() (resident int64) {
		all, err := Mappings()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.IsCode() && !m.Writable {
				resident += m.Resident
			}
		}
		return resident
	}
	before := code()
	GiveBack()
	after := code() // what reading the mappings needs
	if before == 0 || after == 0 || after > before {
		t.Errorf("%d bytes of code were in memory and then %d; want fewer, and some", before, after)
	}
}
