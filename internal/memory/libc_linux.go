package memory

import (
	"sync"

	"github.com/ebitengine/purego"
)

// libc has functions of glibc's allocator. They are nil where the C library is another one.
type libc struct {
	mallopt func(parameter, value int32) int32
	trim    func(pad uintptr) int32
}

var findLibc = sync.OnceValue(func() (c libc) {
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallopt"); err == nil {
		purego.RegisterFunc(&c.mallopt, address)
	}
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "malloc_trim"); err == nil {
		purego.RegisterFunc(&c.trim, address)
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
