package ggml

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// pages returns memory from the system, all of it zero, which takes no room before it is touched: a page is in
// memory with its first byte. The owner gives it back with freePages. The size is not 0.
func pages(size int64) ([]byte, error) {
	address, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, fmt.Errorf("%d bytes of new pages: %w", size, err)
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size), nil
}

// freePages gives the memory of pages back. It must not be used any more.
func freePages(memory []byte) {
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(memory))), 0, windows.MEM_RELEASE)
}
