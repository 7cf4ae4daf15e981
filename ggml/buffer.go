package ggml

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/seed4d217819/ebb/internal/memory"
)

// ErrNotMappable reports that a device cannot compute with memory that it did not allocate.
var ErrNotMappable = errors.New("ggml: the device cannot use mapped memory")

// mapAlignment is the alignment that ggml's kernels need of a mapping's first byte; ggml aborts the
// process without it.
const mapAlignment = 32

// usageWeights is GGML_BACKEND_BUFFER_USAGE_WEIGHTS.
const usageWeights = 1

// Buffer is memory that tensors are placed in. Its owner closes it.
type Buffer struct {
	backend *Backend
	ptr     uintptr
	base    uintptr
	size    int64
	host    bool // the program can address it
	heap    bool // it is of C's allocator, or pages
	charge  charge
	mapped  []byte // keeps Map's memory reachable
	pages   []byte // of AllocZero, given back with the buffer
	close   sync.Once
}

// Alloc allocates size bytes of memory of type t. Its contents are undefined. The error is
// ErrNoMemory if there is no room. Memory for weights has huge pages: see [Buffer.UseHugePages].
func (b *Backend) Alloc(t BufferType, size int64, p Purpose) (*Buffer, error) {
	if size < 0 {
		return nil, fmt.Errorf("ggml: alloc %d bytes for %s: the size must not be negative", size, p)
	}
	ch := charge{purpose: p, size: size, limited: p != HostRows}
	if err := b.account.add(ch); err != nil {
		return nil, err
	}
	real := size
	if b.measures {
		real = 0
	}
	ptr := c.BuftAllocBuffer(t.ptr, uintptr(real))
	if ptr == 0 {
		b.account.remove(ch)
		return nil, fmt.Errorf("%w: %s: %d bytes of %s for %s; %s", ErrNoMemory, b.dev.name, size, t.Name(), p, b.dev.lib.log.last())
	}
	buf := b.newBuffer(ptr, size, ch, nil)
	if p == Weights {
		buf.UseHugePages()
	}
	return buf, nil
}

// AllocZero is Alloc for memory that is used bit by bit. It reports whether all bytes are zero, as they are
// where the program can have new pages from the system for them: those that are not touched take no room,
// and nobody needs to clear them. Otherwise the contents are undefined.
func (b *Backend) AllocZero(t BufferType, size int64, p Purpose) (buf *Buffer, zero bool, err error) {
	cpu := b.dev.lib.cpu()
	if t != b.PlainHostBufferType() || size <= 0 || b.measures || !cpu.mappable {
		buf, err = b.Alloc(t, size, p)
		return buf, false, err
	}
	ch := charge{purpose: p, size: size, limited: p != HostRows}
	if err := b.account.add(ch); err != nil {
		return nil, false, err
	}
	fresh, err := pages(size)
	if err != nil {
		b.account.remove(ch)
		return nil, false, fmt.Errorf("%w: %s: %d bytes of %s for %s; %w", ErrNoMemory, b.dev.name, size, t.Name(), p, err)
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(fresh)))
	ptr := c.DevBufferFromHostPtr(cpu.ptr, base, uintptr(size), uintptr(size))
	if ptr == 0 {
		freePages(fresh)
		b.account.remove(ch)
		return nil, false, fmt.Errorf("%w: %s: %d bytes of %s for %s; %s", ErrNoMemory, b.dev.name, size, t.Name(), p, b.dev.lib.log.last())
	}
	return b.newBuffer(ptr, size, ch, fresh), true, nil
}

// Map makes a buffer of memory that the caller owns, such as a mapped file, without copying it. The
// address of the first byte must be a multiple of 32. The memory must stay valid until the buffer
// is closed. Of its bytes used are booked: those that tensors are going to be placed in. The error
// is ErrNotMappable if the device computes only with memory of its own.
func (b *Backend) Map(data []byte, used int64, p Purpose) (*Buffer, error) {
	if !b.dev.mappable {
		return nil, fmt.Errorf("%w: %s", ErrNotMappable, b.dev.name)
	}
	if len(data) == 0 {
		return nil, errors.New("ggml: map: no bytes")
	}
	if used < 0 || used > int64(len(data)) {
		return nil, fmt.Errorf("ggml: map: %d bytes used of %d", used, len(data))
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if base%mapAlignment != 0 {
		return nil, fmt.Errorf("ggml: map: the first byte lies at %#x, which must be a multiple of %d", base, mapAlignment)
	}
	size := uintptr(len(data))
	ptr := c.DevBufferFromHostPtr(b.dev.ptr, base, size, size)
	if ptr == 0 {
		return nil, fmt.Errorf("ggml: map %d bytes for %s on %s: %s", size, p, b.dev.name, b.dev.lib.log.last())
	}
	ch := charge{purpose: p, size: used, mapped: true}
	// Mapped memory does not count against the limit, so this cannot fail.
	_ = b.account.add(ch)
	buf := b.newBuffer(ptr, int64(size), ch, nil)
	buf.mapped = data
	return buf, nil
}

// newBuffer books a buffer. pages is its memory, if that is the backend's own and not ggml's.
func (b *Backend) newBuffer(ptr uintptr, size int64, ch charge, pages []byte) *Buffer {
	b.buffers.Add(1)
	buf := &Buffer{backend: b, ptr: ptr, size: size, charge: ch, pages: pages}
	switch {
	case b.measures:
		buf.base = nowhere
	case size > 0:
		buf.base, buf.host = c.BufferBase(ptr), c.BufferIsHost(ptr)
	}
	if ch.purpose == Weights {
		c.BufferSetUsage(ptr, usageWeights)
	}
	buf.heap = b.dev.typ == CPU || pages != nil || c.BufferType(ptr) == b.PlainHostBufferType().ptr
	b.account.opened(buf)
	return buf
}

// Size returns the number of bytes that were asked for.
func (b *Buffer) Size() int64 { return b.size }

// Type returns the kind of memory that the buffer really has: a device may provide plain host
// memory when pinned memory is asked for.
func (b *Buffer) Type() BufferType { return BufferType{c.BufferType(b.ptr)} }

// Bytes returns the buffer's memory, or nil if the program cannot address it. The slice is valid
// until Close.
func (b *Buffer) Bytes() []byte {
	if !b.host {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(b.base)), b.size)
}

// Aligned returns the first offset whose address is a multiple of a power of two, and 0 if the
// program cannot address the memory.
func (b *Buffer) Aligned(to int64) int64 {
	if !b.host {
		return 0
	}
	return int64(-b.base & uintptr(to-1))
}

// UseHugePages asks the system for huge pages for memory of C's allocator, where it has them. The
// processor finds addresses in them with fewer look-ups, and taking them from the system is faster.
// It is called before the memory is used, and only for memory that is going to be used as a whole: a
// huge page is in memory with its first byte.
func (b *Buffer) UseHugePages() {
	if b.heap && !b.charge.mapped && !b.backend.measures {
		memory.UseHugePages(b.base, b.size)
	}
}

// Populate takes memory from the system for a part of the buffer that is about to be written, where that is
// ordinary memory of the host: at once, which is faster than page by page.
func (b *Buffer) Populate(offset, size int64) {
	if b.heap && !b.charge.mapped && !b.backend.measures {
		memory.Populate(b.base+uintptr(offset), size)
	}
}

// Clear fills the buffer with zeros. (Other values go through Tensor.Memset: ggml's clear writes
// them wrongly on some devices.)
func (b *Buffer) Clear() {
	if b.size > 0 && !b.backend.measures {
		c.BufferClear(b.ptr, 0)
	}
}

// Place gives t the memory at offset. It panics if t has memory already, or the offset is not
// aligned for the buffer, or t does not fit.
func (b *Buffer) Place(t *Tensor, offset int64) {
	need := int64(c.BufferAllocSize(b.ptr, t))
	alignment := int64(c.BufferAlignment(b.ptr))
	switch {
	case t.viewSrc != nil:
		misuse("Place", "a view has its source's memory", t)
	case t.data != 0 || t.buffer != 0:
		misuse("Place", "the tensor has memory already", t)
	case offset < 0 || offset > b.size-need:
		misuse("Place", fmt.Sprintf("%d bytes at offset %d do not fit into %d", need, offset, b.size), t)
	case offset%alignment != 0:
		misuse("Place", fmt.Sprintf("offset %d is not a multiple of %d", offset, alignment), t)
	}
	if b.backend.measures {
		b.placeNowhere(t, offset)
		return
	}
	if status := c.TensorAlloc(b.ptr, t, b.base+uintptr(offset)); status != 0 {
		misuse("Place", fmt.Sprintf("status %d; %s", status, b.backend.dev.lib.log.last()), t)
	}
}

// Close frees the memory. Tensors placed in it must not be used any more. Further calls do nothing.
func (b *Buffer) Close() {
	b.close.Do(func() {
		b.backend.account.closed(b)
		b.backend.retire(func() {
			c.BufferFree(b.ptr)
			if b.pages != nil {
				freePages(b.pages)
			}
		})
		b.mapped = nil
		b.backend.account.remove(b.charge)
	})
}
