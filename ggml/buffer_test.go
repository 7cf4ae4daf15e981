package ggml

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unsafe"
)

func TestPlaceRefusesWhatGgmlWouldAbortOn(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	buf, err := b.Alloc(b.BufferType(), 256, Inputs)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Close()
	g := b.NewGraph(1)
	defer g.Close()
	placed := r.tensor(F32, 64)
	tests := []struct {
		reason string
		t      *Tensor
		offset int64
	}{
		{"do not fit", r.ctx.New(F32, 65), 0},
		{"do not fit", r.ctx.New(F32, 64), 32},
		{"do not fit", r.ctx.New(F32, 4), -32},
		{"not a multiple of 32", r.ctx.New(F32, 4), 16},
		{"has memory already", placed, 0},
		{"a view", g.View1D(placed, 4, 0), 0},
	}
	for _, tt := range tests {
		if e := panicOf(t, func() { buf.Place(tt.t, tt.offset) }); !strings.Contains(e.Reason, tt.reason) {
			t.Errorf("%v at %d: got %v, want %q", tt.t, tt.offset, e, tt.reason)
		}
	}
}

func TestBytesOfAHostBufferAreItsTensorsMemory(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	r.buf.Clear()
	r.tensor(F32, 8)
	x := r.tensor(F32, 4)
	x.Set(numbered(16), 0)
	if got := r.buf.Bytes()[32:48]; !bytes.Equal(got, numbered(16)) {
		t.Errorf("got %v", got)
	}
	if got, want := int64(len(r.buf.Bytes())), r.buf.Size(); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

func TestBytesOfADeviceBufferAreNil(t *testing.T) {
	r := newRig(t, openVulkan(t))
	if r.buf.Bytes() != nil {
		t.Error("a device's memory has a Go slice")
	}
}

func TestHostBuffersOfADeviceTellTheirRealType(t *testing.T) {
	b := openVulkan(t)
	host, ok := b.HostBufferType()
	if !ok {
		t.Fatal("the device has no host buffer type")
	}
	buf, err := b.Alloc(host, 4096, HostRows)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Close()
	if buf.Type() != host || buf.Type().Name() != "Vulkan_Host" || !host.IsHost() || len(buf.Bytes()) != 4096 {
		t.Errorf("got %s, host %t, %d bytes", buf.Type().Name(), host.IsHost(), len(buf.Bytes()))
	}
	if plain := b.PlainHostBufferType(); plain.Name() != "CPU" || plain == b.BufferType() {
		t.Errorf("plain host memory is %s", plain.Name())
	}
}

func TestTheCPUHasOnlyPlainMemory(t *testing.T) {
	b := openCPU(t, 0)
	if _, ok := b.HostBufferType(); ok {
		t.Error("the CPU has pinned memory")
	}
	plain := b.BufferType()
	if plain != b.PlainHostBufferType() || plain.Name() != "CPU" || plain.Alignment() != 32 || !plain.IsHost() || plain.MaxSize() <= 0 {
		t.Errorf("got %s, alignment %d, host %t, max %d", plain.Name(), plain.Alignment(), plain.IsHost(), plain.MaxSize())
	}
}

// aligned returns n bytes whose first lies at a multiple of 32, plus off.
func aligned(n, off int) []byte {
	s := make([]byte, n+64)
	skip := int(-uintptr(unsafe.Pointer(&s[0]))%32) + off
	return s[skip:][:n]
}

func TestMappedMemoryIsComputedWithInPlace(t *testing.T) {
	b := openCPU(t, 1)
	data := aligned(512, 0)
	raw, err := Quantize(F32, random(1, 64), 64)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[256:], raw)
	buf, err := b.Map(data, 256, Weights)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Close()
	ctx := NewContext(1)
	defer ctx.Close()
	x := ctx.New(F32, 64)
	buf.Place(x, 256)
	got := make([]byte, 256)
	x.Get(got, 0)
	if !bytes.Equal(got, raw) || &buf.Bytes()[0] != &data[0] {
		t.Error("the tensor does not hold the mapped bytes")
	}
	if got := b.Usage().Current[Weights]; got != 256 {
		t.Errorf("%d bytes of weights in use, want the 256 that are used", got)
	}
}

func TestMapRefusesUnalignedAndEmptyMemory(t *testing.T) {
	b := openCPU(t, 0)
	if _, err := b.Map(aligned(64, 8), 64, Weights); err == nil || !strings.Contains(err.Error(), "multiple of 32") {
		t.Errorf("got %v", err)
	}
	if _, err := b.Map(nil, 0, Weights); err == nil {
		t.Error("no error for no bytes")
	}
	if _, err := b.Map(aligned(64, 0), 65, Weights); err == nil {
		t.Error("no error for more bytes than there are")
	}
	if got := b.Usage().Total(); got != 0 {
		t.Errorf("%d bytes in use after refusals, want 0", got)
	}
}

func TestMapOnADeviceWithItsOwnMemoryIsNotPossible(t *testing.T) {
	if _, err := openVulkan(t).Map(aligned(64, 0), 64, Weights); !errors.Is(err, ErrNotMappable) {
		t.Errorf("got %v, want ErrNotMappable", err)
	}
}

func TestTheFasterLayoutTakesSomeWeightsForProductsOnly(t *testing.T) {
	b := openCPU(t, 0)
	shape := [4]int64{256, 64, 1, 1}
	for _, typ := range []Type{F32, F16, BF16, Q8_0, Q4_0, Q4_K} {
		if !b.SupportsWeight(OpMulMat, typ, shape, b.BufferType()) || !b.SupportsWeight(OpGetRows, typ, shape, b.BufferType()) {
			t.Errorf("plain memory refuses %s", typ)
		}
		for _, extra := range b.ExtraBufferTypes() {
			if b.SupportsWeight(OpGetRows, typ, shape, extra) {
				t.Errorf("%s takes rows of %s", extra.Name(), typ)
			}
			if !typ.Quantized() && extra.Name() == "CPU_REPACK" && b.SupportsWeight(OpMulMat, typ, shape, extra) {
				t.Errorf("%s takes %s", extra.Name(), typ)
			}
		}
	}
	if b.SupportsWeight(OpMulMat, I32, shape, b.BufferType()) || b.SupportsWeight(OpMulMat, Q4_0, [4]int64{33, 1, 1, 1}, b.BufferType()) ||
		b.SupportsWeight(Op(99), F32, shape, b.BufferType()) {
		t.Error("weights that no operation takes are supported")
	}
}

func TestWeightsInTheFasterLayoutGiveTheSameProducts(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	w, kept := r.values(Q4_0, random(1, 256*64), 256, 64)
	x := random(2, 256*3)
	raw := make([]byte, w.Bytes())
	w.Get(raw, 0)
	tried := 0
	for _, extra := range b.ExtraBufferTypes() {
		if !b.SupportsWeight(OpMulMat, Q4_0, w.Shape(), extra) {
			continue
		}
		tried++
		fast := r.ctx.New(Q4_0, 256, 64)
		buf, err := b.Alloc(extra, extra.AllocSize(fast), Weights)
		if err != nil {
			t.Fatal(err)
		}
		defer buf.Close()
		buf.Place(fast, 0)
		fast.Set(raw, 0)
		got := r.compute(func(g *Graph) *Tensor { return g.MulMat(fast, r.floats(x, 256, 3)) })
		if d := distance(got, refMulMat(kept, x, 256)); d > 2e-2 {
			t.Errorf("%s differs by %g, more than 2e-2", extra.Name(), d)
		}
	}
	if tried == 0 {
		t.Skip("cpu: no faster layout on this one")
	}
}

func TestMemoryThatIsUsedBitByBitIsZeroAndCounts(t *testing.T) {
	b := openCPU(t, 1<<20)
	for range 3 {
		buf, zero, err := b.AllocZero(b.BufferType(), 1<<20-100, Regions)
		if err != nil || !zero {
			t.Fatalf("%v, %v; want memory that is zero", zero, err)
		}
		data := buf.Bytes()
		if len(data) != 1<<20-100 || len(bytes.Trim(data, "\x00")) > 0 {
			t.Fatalf("%d bytes, not all of them zero", len(data))
		}
		for i := range data {
			data[i] = 0xFF
		}
		if got := b.Usage().Current[Regions]; got != buf.Size() {
			t.Errorf("%d bytes in the books of %d", got, buf.Size())
		}
		for _, m := range b.HostMemory() {
			if m.Heap || m.Mapped {
				t.Errorf("%+v: want memory that is not of C's allocator, and not another owner's", m)
			}
		}
		if _, _, err := b.AllocZero(b.BufferType(), 101, Regions); !errors.Is(err, ErrNoMemory) {
			t.Errorf("past the limit: %v, want ErrNoMemory", err)
		}
		rows, _, err := b.AllocZero(b.PlainHostBufferType(), 1<<20, HostRows)
		if err != nil {
			t.Fatalf("host rows count against the device's limit: %v", err)
		}
		rows.Close()
		buf.Close()
		buf.Close()
		if got := b.Usage().Total(); got != 0 {
			t.Errorf("%d bytes in use after Close", got)
		}
	}
	unlimited := openCPU(t, 0)
	if _, _, err := unlimited.AllocZero(b.BufferType(), 1<<60, Regions); !errors.Is(err, ErrNoMemory) {
		t.Errorf("2^60 bytes: %v, want ErrNoMemory", err)
	}
	if _, _, err := unlimited.AllocZero(b.BufferType(), -1, Regions); err == nil {
		t.Error("no error for a negative size")
	}
	if got := unlimited.Usage().Total(); got != 0 {
		t.Errorf("%d bytes in use after errors", got)
	}
}
