package memory

// hugePage is the size of the pages that [UseHugePages] asks for: those of amd64, and of arm64 with
// pages of 4 KiB.
const hugePage = 2 << 20

// UseHugePages asks the system for huge pages for the addresses [from, from+size), whose owner is
// going to use them all: each huge page of which a byte is touched is in memory as a whole. It is
// asked before they are touched. At both ends, what is no whole huge page stays as it is. Where the
// system gives none, nothing changes.
func UseHugePages(from uintptr, size int64) {
	first, end := (from+hugePage-1)&^(hugePage-1), (from+uintptr(max(0, size)))&^(hugePage-1)
	if first < end {
		useHugePages(first, end-first)
	}
}
