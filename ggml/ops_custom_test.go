package ggml

import (
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/google/go-cmp/cmp"
)

// A function of the program computes its share on each of ggml's threads, and finds operands and
// parameters in the tensor that it is given.
func TestCustomRunsAFunctionOfTheProgramOnEveryThread(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	var calls atomic.Int32
	add := purego.NewCallback(func(dst *Tensor, thread, threads int32, _ uintptr) {
		calls.Add(1)
		n := int(dst.ne[0])
		floats := func(x *Tensor) []float32 { return unsafe.Slice((*float32)(pointer(x.data)), n) }
		for i := int(thread); i < n; i += int(threads) {
			floats(dst)[i] = floats(dst.src[0])[i] + floats(dst.src[1])[i] + float32(dst.params[customParams])
		}
	})
	x, y := r.floats([]float32{1, 2, 3}, 3), r.floats([]float32{10, 20, 30}, 3)
	got := r.compute(func(g *Graph) *Tensor {
		return g.Custom(F32, [4]int64{3, 1, 1, 1}, add, CustomParams{100}, x, y)
	})
	if d := cmp.Diff(got, []float32{111, 122, 133}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	if n := int(calls.Load()); n != b.Threads() {
		t.Errorf("%d calls, want one on each of %d threads", n, b.Threads())
	}
}

func TestCustomOnAnotherDeviceThanTheCPUPanics(t *testing.T) {
	b := openVulkan(t)
	ctx := NewContext(1)
	defer ctx.Close()
	g := b.NewGraph(1)
	defer g.Close()
	e := panicOf(t, func() { g.Custom(F32, [4]int64{1, 1, 1, 1}, 1, CustomParams{}, ctx.New(F32, 1)) })
	if e.Op != "Custom" || !strings.Contains(e.Reason, "vulkan0") {
		t.Errorf("got %v, want a panic that names the device", e)
	}
}
