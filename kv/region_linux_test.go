package kv

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/tier"
)

// The memory that a region takes for cells is that of their rows in all heads.
func TestPopulatedCellsHaveTheirPages(t *testing.T) {
	o := uniform(Dynamic, 1, 4096)
	o.Layers = []Shape{{Heads: 2, KeyDim: 64, ValueDim: 64}}
	l := newLedger(t, ownCPU(t, 0), o)
	defer l.close()
	r, err := l.pool.newRegion(0, 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	there := func(p tier.Part, head, cell int) bool {
		var is byte
		at := uintptr(unsafe.Pointer(&r.Address(p, head, cell, 1)[0])) &^ uintptr(os.Getpagesize()-1)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, at, 1, uintptr(unsafe.Pointer(&is))); errno != 0 {
			t.Fatal(errno)
		}
		return is&1 == 1
	}
	can := unix.Madvise(make([]byte, 0), unix.MADV_POPULATE_WRITE) == nil
	r.populate(tier.Run{Start: 1024, N: 1024})
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		for head := range r.layout.Heads {
			for _, cell := range [...]int{1024, 1500, 2047} {
				if can && !there(p, head, cell) {
					t.Errorf("cell %d of head %d, part %d, has no page", cell, head, p)
				}
			}
			if there(p, head, 3000) {
				t.Errorf("cell 3000 of head %d, part %d, has a page", head, p)
			}
		}
	}
}
