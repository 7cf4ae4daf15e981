package memory

// Pages returns memory from the system, all of it zero, which takes no room before it is touched: a
// page is in memory with its first byte. The owner gives it back with [FreePages]. The size is not 0.
func Pages(size int64) ([]byte, error) { return pages(size) }

// FreePages gives the memory of [Pages] back. It must not be used any more.
func FreePages(memory []byte) { freePages(memory) }
