package memory

import (
	"sync"

	"github.com/ebitengine/purego"
)

// libc has functions of glibc's allocator. They are nil where the C library is another one.
type libc struct {
	mallopt func(parameter, value int32) int32
	trim    func(pad uintptr) int32
	info    uintptr // of mallinfo2
}

var findLibc = sync.OnceValue(func() (c libc) {
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallopt"); err == nil {
		purego.RegisterFunc(&c.mallopt, address)
	}
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "malloc_trim"); err == nil {
		purego.RegisterFunc(&c.trim, address)
	}
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallinfo2"); err == nil {
		c.info = address
	}
	return c
})

// Parameters of mallopt, from malloc.h.
const (
	mmapThreshold = -3
	arenaMax      = -8
)

func settle() {
	c := findLibc()
	if c.mallopt == nil {
		return
	}
	c.mallopt(mmapThreshold, largeBlock)
	c.mallopt(arenaMax, arenas)
}

func trim() {
	if c := findLibc(); c.trim != nil {
		c.trim(0)
	}
}

// mallinfo is struct mallinfo2: bytes, but for the counts.
type mallinfo struct {
	_, _, _, _  uintptr // of the heaps: bytes, and numbers of free and of mapped blocks
	mappedBytes uintptr
	_, _        uintptr
	used        uintptr // bytes of the heaps that are lent
	_, _        uintptr
}

// cHeap returns the bytes that are in use of C's heap, blocks that are mapped among them.
func cHeap() int64 {
	c := findLibc()
	if c.info == 0 {
		return 0
	}
	var info func() mallinfo
	purego.RegisterFunc(&info, c.info)
	i := info()
	return int64(i.used + i.mappedBytes)
}
