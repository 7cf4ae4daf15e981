package memory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mappings returns the mappings of the process, by address.
func Mappings() (all []Mapping, err error) {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if from, to, ok := bytes.Cut(fields[0], []byte("-")); ok && len(fields) >= 5 {
			m := Mapping{Writable: bytes.IndexByte(fields[1], 'w') >= 0}
			m.From, m.To = address(from), address(to)
			if len(fields) > 5 {
				m.Path = string(bytes.Join(fields[5:], []byte(" ")))
			}
			all = append(all, m)
			continue
		}
		if len(all) == 0 {
			continue
		}
		switch last := &all[len(all)-1]; string(fields[0]) {
		case "Rss:":
			last.Resident = kilobytes(fields[1])
		case "Anonymous:":
			last.Anonymous = kilobytes(fields[1])
		case "AnonHugePages:":
			last.Huge = kilobytes(fields[1])
		}
	}
	return all, nil
}

func address(hex []byte) uintptr {
	n, _ := strconv.ParseUint(string(hex), 16, 64) // the kernel writes numbers
	return uintptr(n)
}

func kilobytes(digits []byte) int64 {
	n, _ := strconv.ParseInt(string(digits), 10, 64)
	return n << 10
}

// Resident returns how many bytes of the addresses [from, from+size) are in memory.
func Resident(from uintptr, size int64) (bytes int64, err error) {
	if size <= 0 {
		return 0, nil
	}
	table, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	defer func() { _ = table.Close() }() // it was only read
	const entry, present = 8, 1 << 63    // bytes of a page's entry, and its bit, as in the kernel's pagemap.rst
	page := uintptr(os.Getpagesize())
	first, end := from/page, (from+uintptr(size)+page-1)/page
	entries := make([]byte, min(end-first, 1<<16)*entry)
	for at := first; at < end; {
		some := entries[:min((end-at)*entry, uintptr(len(entries)))]
		if _, err := table.ReadAt(some, int64(at*entry)); err != nil {
			return 0, fmt.Errorf("memory: %w", err)
		}
		for ; len(some) > 0; some, at = some[entry:], at+1 {
			if binary.NativeEndian.Uint64(some)&present != 0 {
				bytes += int64(min((at+1)*page, from+uintptr(size)) - max(at*page, from))
			}
		}
	}
	return bytes, nil
}

// StackSize returns how many bytes of addresses the C library gives to the stack of a thread.
func StackSize() uintptr {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_STACK, &limit) != nil || limit.Cur > 1<<30 { // none
		return 0
	}
	return uintptr(limit.Cur)
}

// releaseCode takes the pages of the program and of its libraries out of the process that are as
// they are in their files. Those that are used again come back from the system's file cache, some
// at a time; those that only the start has used do not. Most of the code of a program is among
// them.
func releaseCode() {
	all, err := Mappings()
	if err != nil {
		return // then the pages stay, which harms nothing
	}
	for _, m := range all {
		// Where an address was written into a page, as the linker does, the page is the process's own.
		if m.Writable || m.Anonymous > 0 || m.Resident == 0 || !m.IsCode() {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.From, m.To-m.From, unix.MADV_DONTNEED) // a refusal harms nothing
	}
}
