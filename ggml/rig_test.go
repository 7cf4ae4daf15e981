package ggml

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

// vulkan opens the first Vulkan device once for all tests: its driver needs seconds for each shader
// that a process uses first.
var vulkan = sync.OnceValues(func() (*Backend, error) {
	l, err := Load()
	if err != nil {
		return nil, err
	}
	d, err := l.Device(cmp.Or(os.Getenv("EBB_TEST_DEVICE"), "vulkan0"))
	if err != nil {
		return nil, errNoVulkan
	}
	return d.Open(Options{})
})

var errNoVulkan = errors.New("no Vulkan device")

// openCPU opens the CPU with two threads for one test.
func openCPU(t testing.TB, limit int64) *Backend {
	t.Helper()
	return openCPUWith(t, Options{Threads: 2, Limit: limit})
}

func openCPUWith(t testing.TB, o Options) *Backend {
	t.Helper()
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Device("CPU")
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func openVulkan(t testing.TB) *Backend {
	t.Helper()
	b, err := vulkan()
	if errors.Is(err, errNoVulkan) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// onDevices runs f on the CPU and on Vulkan.
func onDevices(t *testing.T, f func(t *testing.T, b *Backend)) {
	t.Run("cpu", func(t *testing.T) { f(t, openCPU(t, 0)) })
	t.Run("vulkan", func(t *testing.T) { f(t, openVulkan(t)) })
}

// rig holds the inputs of a test on a device.
type rig struct {
	t       testing.TB
	b       *Backend
	ctx     *Context
	buf     *Buffer
	scratch *Scratch
	end     int64
}

func newRig(t testing.TB, b *Backend) *rig {
	t.Helper()
	if b.Device().Type() != CPU {
		return deviceRig(t, b)
	}
	buf, err := b.Alloc(b.BufferType(), 1<<20, Inputs)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, b: b, ctx: NewContext(32), buf: buf, scratch: b.NewScratch()}
	t.Cleanup(func() {
		r.scratch.Close()
		r.buf.Close()
		r.ctx.Close()
	})
	return r
}

// deviceMemory is the one buffer and scratch that all tests on a device use.
var deviceMemory struct {
	buf     *Buffer
	scratch *Scratch
}

// deviceRig is newRig for devices other than the CPU. Mesa's software driver corrupts the heap when
// device buffers are freed between computations, so the buffers stay until the process ends.
func deviceRig(t testing.TB, b *Backend) *rig {
	t.Helper()
	m := &deviceMemory
	if m.buf == nil {
		buf, err := b.Alloc(b.BufferType(), 1<<20, Inputs)
		if err != nil {
			t.Fatal(err)
		}
		m.buf, m.scratch = buf, b.NewScratch()
		// Grown once to more than any test needs, as growing frees.
		g := b.NewGraph(2)
		defer g.Close()
		x := NewContext(1)
		defer x.Close()
		zeros := x.New(F32, 1<<18)
		buf.Place(zeros, 0)
		g.Expand(g.Scale(g.Cont(zeros), 1))
		if _, err := m.scratch.Alloc(g); err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{t: t, b: b, ctx: NewContext(32), buf: m.buf, scratch: m.scratch}
	t.Cleanup(r.ctx.Close)
	return r
}

// tensor returns a placed tensor.
func (r *rig) tensor(t Type, ne ...int64) *Tensor {
	r.t.Helper()
	x := r.ctx.New(t, ne...)
	r.buf.Place(x, r.end)
	align := r.buf.Type().Alignment()
	r.end += (r.buf.Type().AllocSize(x) + align - 1) / align * align
	return x
}

// values returns a placed tensor of any type that holds s, and the numbers as the type keeps them.
func (r *rig) values(t Type, s []float32, ne ...int64) (*Tensor, []float32) {
	r.t.Helper()
	x := r.tensor(t, ne...)
	raw, err := Quantize(t, s, ne[0])
	if err != nil {
		r.t.Fatal(err)
	}
	x.Set(raw, 0)
	return x, Dequantize(t, raw, len(s))
}

// weights returns a placed matrix of random weights of a type, and the numbers that it keeps.
func (r *rig) weights(t Type, ne ...int64) (*Tensor, []float32) {
	r.t.Helper()
	n := 1
	for _, d := range ne {
		n *= int(d)
	}
	if t.written() {
		return r.values(t, random(1, n), ne...)
	}
	// Quantize makes tables for seconds first; but whatever the bits of a block, they mean numbers.
	x := r.tensor(t, ne...)
	raw := make([]byte, t.RowSize(int64(n)))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	for block := raw; len(block) > 0; block = block[t.size():] {
		scale := [4]byte{0xc, 0x0, 0x2, 0x2} // the digits of 0.0078 in float16, the lowest first
		if t == IQ1_M {                      // they are the high digits of the last four numbers of 16 bits
			for i, digit := range scale {
				at := &block[t.size()-8+2*int64(i)+1]
				*at = *at&0xf | digit<<4
			}
			continue
		}
		block[0], block[1] = scale[0]|scale[1]<<4, scale[2]|scale[3]<<4
	}
	x.Set(raw, 0)
	return x, Dequantize(t, raw, n)
}

func (r *rig) floats(s []float32, ne ...int64) *Tensor {
	r.t.Helper()
	x, _ := r.values(F32, s, ne...)
	return x
}

func (r *rig) int32s(s ...int32) *Tensor {
	r.t.Helper()
	x := r.tensor(I32, int64(len(s)))
	SetSlice(x, s, 0)
	return x
}

// compute returns the numbers of what build returns.
func (r *rig) compute(build func(g *Graph) *Tensor) []float32 {
	r.t.Helper()
	g := r.b.NewGraph(32)
	defer g.Close()
	y := build(g)
	g.Expand(y)
	if _, err := r.scratch.Alloc(g); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Compute(g); err != nil {
		r.t.Fatal(err)
	}
	raw := make([]byte, y.Bytes())
	y.Get(raw, 0)
	return Dequantize(y.Type(), raw, int(y.Elements()))
}

// random returns n numbers, normally distributed, the same for the same seed.
func random(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s
}

// distance returns the largest difference of got and want in units of want's largest number, or of
// 1 if that is larger; NaN is infinitely far.
func distance(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst, scale := 0.0, 1.0
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
		scale = max(scale, math.Abs(float64(want[i])))
	}
	return worst / scale
}

// tolerance returns how far a result on b may be from the exact one. The CPU sums in float32;
// Vulkan devices use float16 inside matrix products.
func tolerance(b *Backend) float64 {
	if b.Device().Type() == CPU {
		return 2e-6
	}
	return 5e-3
}

// panicOf returns the ShapeError that f panics with.
func panicOf(t *testing.T, f func()) (e *ShapeError) {
	t.Helper()
	defer func() {
		t.Helper()
		switch v := recover().(type) {
		case nil:
			t.Fatal("no panic")
		case *ShapeError:
			e = v
		default:
			panic(v)
		}
	}()
	f()
	return nil
}
