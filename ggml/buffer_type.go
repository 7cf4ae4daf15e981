package ggml

// BufferType is a kind of memory. Values are comparable: equal values mean the same kind.
type BufferType struct{ ptr uintptr }

// BufferType returns the device's own memory.
func (b *Backend) BufferType() BufferType { return BufferType{c.DevBufferType(b.dev.ptr)} }

// HostBufferType returns the type of host memory with which the device's copies are fastest, and
// whether it has one; the CPU has none.
func (b *Backend) HostBufferType() (BufferType, bool) {
	t := BufferType{c.DevHostBufferType(b.dev.ptr)}
	return t, t.ptr != 0
}

// PlainHostBufferType returns ordinary host memory.
func (b *Backend) PlainHostBufferType() BufferType {
	return BufferType{c.DevBufferType(b.dev.lib.cpu().ptr)}
}

// ExtraBufferTypes returns the types that hold some weights in a faster layout, the fastest first;
// SupportsWeight reports which weights.
func (b *Backend) ExtraBufferTypes() []BufferType {
	f := b.dev.proc("ggml_backend_dev_get_extra_bufts")
	if f == 0 {
		return nil
	}
	var types []BufferType
	for p := call(f, b.dev.ptr, 0, 0, 0, 0, 0, 0); p != 0; p += 8 {
		t := *(*uintptr)(pointer(p)) // an array that ends with a null pointer
		if t == 0 {
			break
		}
		types = append(types, BufferType{t})
	}
	return types
}

// Name returns ggml's name: "CPU", "CPU_REPACK", "Vulkan0", "Vulkan_Host".
func (t BufferType) Name() string { return c.BuftName(t.ptr) }

// Alignment returns the number of bytes of which every tensor's offset must be a multiple.
func (t BufferType) Alignment() int64 { return int64(c.BuftAlignment(t.ptr)) }

// MaxSize returns the largest number of bytes that one buffer may have.
func (t BufferType) MaxSize() int64 { return clampSize(c.BuftMaxSize(t.ptr)) }

// AllocSize returns the bytes that x takes in a buffer of the type, which may be more than
// x.Bytes().
func (t BufferType) AllocSize(x *Tensor) int64 { return int64(c.BuftAllocSize(t.ptr, x)) }

// IsHost reports whether the program can read and write the memory directly.
func (t BufferType) IsHost() bool { return c.BuftIsHost(t.ptr) }

// clampSize turns a size_t into an int64; "no limit" is the largest of both.
func clampSize(n uintptr) int64 { return int64(min(uint64(n), 1<<63-1)) }

// Op names an operation that takes a weight, which a device may or may not support.
type Op int

// The operations that SupportsWeight can be asked about.
const (
	OpMulMat   Op = iota // MulMat(weight, activations)
	OpGetRows            // GetRows(weight, ids)
	OpMulMatID           // MulMatID(weight, activations, ids)
)

// SupportsWeight reports whether the device runs op with a weight of type t and shape ne that lies
// in a buffer of type bt.
func (b *Backend) SupportsWeight(op Op, t Type, ne [4]int64, bt BufferType) bool {
	if !t.known() || ne[0]%t.BlockSize() != 0 {
		return false
	}
	// The device decides by the type of the buffer that the weight lies in, so the weight gets an
	// empty one.
	buffer := c.BuftAllocBuffer(bt.ptr, 0)
	defer c.BufferFree(buffer)
	ctx := NewContext(4)
	defer ctx.Close()
	w := ctx.New(t, ne[:]...)
	w.buffer = buffer
	switch op {
	case OpMulMat:
		if t == I32 || t == I64 {
			return false
		}
		x := ctx.New(F32, ne[0], 8, ne[2], ne[3])
		return c.DevSupportsOp(b.dev.ptr, c.MulMat(ctx.ptr, w, x))
	case OpMulMatID:
		if t == I32 || t == I64 || ne[3] != 1 {
			return false
		}
		x, ids := ctx.New(F32, ne[0], 1, 8), ctx.New(I32, 1, 8)
		return c.DevSupportsOp(b.dev.ptr, c.MulMatID(ctx.ptr, w, x, ids))
	case OpGetRows:
		ids := ctx.New(I32, 8, ne[2], ne[3])
		return c.DevSupportsOp(b.dev.ptr, c.GetRows(ctx.ptr, w, ids))
	default:
		return false
	}
}
