package memory

import "runtime/debug"

// largeBlock is the size from which C's allocator maps a block on its own, and so gives it back
// when it is freed. glibc would raise it to the size of the largest block that was ever freed, up
// to 32 MiB, and keep freed blocks below that.
const largeBlock = 256 << 10

// arenas is how many heaps C's allocator has. glibc makes up to eight a core, as calls come from
// more threads, and blocks that are freed in one are of no use to the others.
const arenas = 1

// Settle makes C's allocator give back what is freed. It is called once, before the libraries
// allocate.
func Settle() { settle() }

// Trim returns the pages to the system that C's allocator does not use. It takes about a
// millisecond.
func Trim() { trim() }

// GiveBack returns what only the start of a program has used: memory that neither Go's nor C's
// allocator uses, and pages of code. It takes some milliseconds.
func GiveBack() {
	debug.FreeOSMemory()
	Trim()
	releaseCode()
}

// CHeap returns how many bytes C's allocator has lent, in blocks of any size; 0 where it does not
// say. The pages of a block that were never touched are counted too.
func CHeap() int64 { return cHeap() }
