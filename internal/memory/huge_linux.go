package memory

import "golang.org/x/sys/unix"

// useHugePages does what the system does by itself where its setting is "always"; where it is "never",
// it has no effect.
func useHugePages(from, size uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, size, unix.MADV_HUGEPAGE) // a refusal harms nothing
}
