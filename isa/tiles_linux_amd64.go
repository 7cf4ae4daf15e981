package isa

import (
	"sync"

	"golang.org/x/sys/unix"
)

// tiles asks the system to let the process use the tiles' registers, and reports whether it does.
// Linux gives them to nobody who has not asked (Documentation/arch/x86/xstate.rst).
var tiles = sync.OnceValue(func() bool {
	const request, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, request, tileData, 0)
	return errno == 0
})
