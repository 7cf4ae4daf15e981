package ggml

import (
	"bytes"
	"testing"
)

// numbered returns n bytes that differ from their neighbours, none zero.
func numbered(n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = byte(i%251 + 1)
	}
	return s
}

func TestSetAndGetMoveExactlyTheirBytes(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		r := newRig(t, b)
		x := r.tensor(F32, 16, 4)
		x.Memset(0xFF, 0, x.Bytes())
		src := numbered(12)
		x.Set(src, 100)
		got := make([]byte, x.Bytes())
		x.Get(got, 0)
		want := bytes.Repeat([]byte{0xFF}, 256)
		copy(want[100:], src)
		if !bytes.Equal(got, want) {
			t.Errorf("first difference at byte %d", firstDifference(got, want))
		}
		x.Set(nil, 256)
		x.Get(nil, 0)
		part := make([]byte, 8)
		x.Get(part, 104)
		if !bytes.Equal(part, src[4:]) {
			t.Errorf("got %v, want %v", part, src[4:])
		}
	})
}

func TestMemsetFillsExactlyItsBytes(t *testing.T) {
	onDevices(t, func(t *testing.T, b *Backend) {
		r := newRig(t, b)
		r.buf.Clear()
		x := r.tensor(F32, 64)
		x.Memset(0xFF, 64, 128)
		x.Memset(1, 0, 0)
		got := make([]byte, 256)
		x.Get(got, 0)
		want := make([]byte, 256)
		copy(want[64:], bytes.Repeat([]byte{0xFF}, 128))
		if !bytes.Equal(got, want) {
			t.Errorf("first difference at byte %d", firstDifference(got, want))
		}
	})
}

// The pieces are the first rows of every head of a cache, and on the other side a tighter layout of
// the same.
func TestSet2DAndGet2DMoveExactlyTheirPieces(t *testing.T) {
	const size, copies, strideTensor, strideSlice, offset = 24, 3, 64, 32, 16
	onDevices(t, func(t *testing.T, b *Backend) {
		r := newRig(t, b)
		x := r.tensor(F32, 64)
		x.Memset(0xEE, 0, x.Bytes())
		src := numbered((copies-1)*strideSlice + size)
		x.Set2D(src, offset, size, copies, strideTensor, strideSlice)

		want := bytes.Repeat([]byte{0xEE}, 256)
		for i := range copies {
			copy(want[offset+i*strideTensor:][:size], src[i*strideSlice:])
		}
		got := make([]byte, 256)
		x.Get(got, 0)
		if !bytes.Equal(got, want) {
			t.Errorf("Set2D: first difference at byte %d", firstDifference(got, want))
		}

		dst := bytes.Repeat([]byte{0xDD}, len(src)+8)
		x.Get2D(dst, offset, size, copies, strideTensor, strideSlice)
		back := bytes.Repeat([]byte{0xDD}, len(src)+8)
		for i := range copies {
			copy(back[i*strideSlice:][:size], src[i*strideSlice:])
		}
		if !bytes.Equal(dst, back) {
			t.Errorf("Get2D: first difference at byte %d", firstDifference(dst, back))
		}

		// A single piece, and none, need no strides.
		x.Set2D(src, 0, 256-179, 1, 0, 0)
		x.Get2D(dst, 300, 8, 0, 0, 0)
		x.Get2D(nil, 300, 0, 2, 0, 0)
		x.Get(got[:4], 0)
		if !bytes.Equal(got[:4], src[:4]) {
			t.Errorf("one piece: got %v, want %v", got[:4], src[:4])
		}
	})
}

func TestCopiesOutOfBoundsPanic(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(F32, 64) // 256 bytes
	free := r.ctx.New(F32, 64)
	s := make([]byte, 64)
	const huge = 1 << 62
	tests := []struct {
		op   string
		call func()
	}{
		{"Set", func() { x.Set(s, 193) }},
		{"Set", func() { x.Set(s, -1) }},
		{"Set", func() { x.Set(s, huge) }},
		{"Set", func() { free.Set(s, 0) }},
		{"Get", func() { x.Get(make([]byte, 257), 0) }},
		{"Get", func() { free.Get(s, 0) }},
		{"Memset", func() { x.Memset(0, 0, 257) }},
		{"Memset", func() { x.Memset(0, 256, -1) }},
		{"Set2D", func() { x.Set2D(s, 0, 32, 2, 225, 32) }},     // past the tensor
		{"Set2D", func() { x.Set2D(s, 0, 32, 2, 64, 33) }},      // past the slice
		{"Set2D", func() { x.Set2D(s, 0, 32, 2, 31, 32) }},      // overlap in the tensor
		{"Set2D", func() { x.Set2D(s, 0, 32, 2, 32, 31) }},      // overlap in the slice
		{"Set2D", func() { x.Set2D(s, 0, 1, 2, huge*2-1, 1) }},  // a product that overflows
		{"Set2D", func() { x.Set2D(s, 0, 8, 1<<61, 8, 8) }},     // another
		{"Set2D", func() { x.Set2D(s, -8, 8, 2, 8, 8) }},        // before the tensor
		{"Set2D", func() { x.Set2D(s, 0, -8, 2, 8, 8) }},        // negative size
		{"Set2D", func() { x.Set2D(s, 0, 8, -2, 8, 8) }},        // negative count
		{"Set2D", func() { x.Set2D(s, 0, 65, 1, 0, 0) }},        // one piece past the slice
		{"Set2D", func() { free.Set2D(s, 0, 8, 2, 8, 8) }},      // no memory
		{"Get2D", func() { x.Get2D(s, 200, 32, 2, 32, 32) }},    // past the tensor
		{"Get2D", func() { x.Get2D(s[:40], 0, 32, 2, 32, 32) }}, // past the slice
	}
	for i, tt := range tests {
		if e := panicOf(t, tt.call); e.Op != tt.op || len(e.Operands) != 1 || e.Operands[0] != "f32 [64 1 1 1]" {
			t.Errorf("%d: got %v, want a panic of %s", i, e, tt.op)
		}
	}
}

func TestSlicesOfNumbersArriveAsTheyAre(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(I64, 3)
	SetSlice(x, []int64{1, -2, 1 << 40}, 0)
	got := make([]int64, 2)
	GetSlice(x, got, 8)
	if got[0] != -2 || got[1] != 1<<40 {
		t.Errorf("got %v", got)
	}
	h := r.tensor(F16, 2)
	SetSlice(h, []uint16{0x3C00, 0xC000}, 0)
	raw := make([]byte, 4)
	h.Get(raw, 0)
	if f := Dequantize(F16, raw, 2); f[0] != 1 || f[1] != -2 {
		t.Errorf("got %v, want [1 -2]", f)
	}
}

func TestCopiesAndComputeAllocateNoGoMemory(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	b := openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(F32, 64)
	g := b.NewGraph(1)
	defer g.Close()
	g.Expand(g.Scale(x, 2))
	if _, err := r.scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	s := make([]byte, 256)
	var err error
	got := testing.AllocsPerRun(100, func() {
		x.Set(s, 0)
		x.Get(s, 0)
		x.Set2D(s, 0, 8, 4, 64, 64)
		x.Get2D(s, 0, 8, 4, 64, 64)
		err = b.Compute(g)
	})
	if got != 0 || err != nil {
		t.Errorf("%g allocations, %v; want none", got, err)
	}
}
