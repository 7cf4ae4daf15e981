package memory

import "os"

// Populate takes memory from the system for the addresses [from, from+size), which are about to be written,
// and for what else is in their pages. They have it at once then: a page that is taken when it is first
// touched costs a fault of its own, which takes three times as long. Where the system cannot do that,
// nothing changes.
func Populate(from uintptr, size int64) {
	page := uintptr(os.Getpagesize())
	first, end := from&^(page-1), (from+uintptr(max(0, size))+page-1)&^(page-1)
	if size > 0 {
		populate(first, end-first)
	}
}
