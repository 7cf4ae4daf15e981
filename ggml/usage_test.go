package ggml

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBytesAreAccountedByPurposeAndReturnToZero(t *testing.T) {
	b := openCPU(t, 0)
	sizes := map[Purpose]int64{Weights: 4096, Slots: 1024, Regions: 2048, HostRows: 512, Masks: 128, Inputs: 64, Activations: 32}
	var buffers []*Buffer
	for p, n := range sizes {
		buf, err := b.Alloc(b.BufferType(), n, p)
		if err != nil {
			t.Fatal(err)
		}
		buffers = append(buffers, buf)
	}
	if d := cmp.Diff(b.Usage().Current, sizes); d != "" {
		t.Errorf("in use (-got +want):\n%s", d)
	}
	if got := b.Usage().Total(); got != 7904 {
		t.Errorf("%d bytes in all, want 7904", got)
	}
	for _, buf := range buffers {
		buf.Close()
		buf.Close()
	}
	want := Usage{Current: map[Purpose]int64{}, Peak: sizes, PeakKV: 3072}
	if d := cmp.Diff(b.Usage(), want); d != "" {
		t.Errorf("after Close (-got +want):\n%s", d)
	}
}

func TestPeakKVIsThePeakOfTheSum(t *testing.T) {
	b := openCPU(t, 0)
	for _, p := range []Purpose{Slots, Regions} {
		buf, err := b.Alloc(b.BufferType(), 1000, p)
		if err != nil {
			t.Fatal(err)
		}
		buf.Close()
	}
	if got := b.Usage().PeakKV; got != 1000 {
		t.Errorf("got %d, want 1000", got)
	}
}

func TestPastTheLimitAllocationsFailAndNothingChanges(t *testing.T) {
	b := openCPU(t, 4096)
	buf, err := b.Alloc(b.BufferType(), 4000, Regions)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Alloc(b.BufferType(), 97, Slots)
	if !errors.Is(err, ErrNoMemory) {
		t.Fatalf("got %v, want ErrNoMemory", err)
	}
	for _, want := range []string{"cpu", "slots", "97", "4096"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if got := b.Usage(); got.Total() != 4000 || got.Peak[Slots] != 0 {
		t.Errorf("got %+v after a refusal", got)
	}
	rows, err := b.Alloc(b.PlainHostBufferType(), 1<<20, HostRows)
	if err != nil {
		t.Fatalf("host rows count against the device's limit: %v", err)
	}
	rows.Close()
	buf.Close()
	full, err := b.Alloc(b.BufferType(), 4096, Slots)
	if err != nil {
		t.Fatalf("the whole limit is not there after Close: %v", err)
	}
	full.Close()
}

func TestAScratchPastTheLimitStaysAsItWas(t *testing.T) {
	b := openCPU(t, 1<<20+8192)
	r := newRig(t, b) // takes 1 << 20
	build := func(n int64) *Graph {
		g := b.NewGraph(1)
		t.Cleanup(g.Close)
		g.Expand(g.Scale(r.tensor(F32, n), 2))
		return g
	}
	small, large, fits := build(1024), build(4096), build(2048)
	if _, err := r.scratch.Alloc(small); err != nil {
		t.Fatal(err)
	}
	moved, err := r.scratch.Alloc(large)
	if moved || !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "scratch") {
		t.Errorf("moved %t, %v; want ErrNoMemory", moved, err)
	}
	if got := b.Usage().Current[Scratches]; got != 4096 || r.scratch.Size() != 4096 {
		t.Errorf("%d bytes in the books of %d, want 4096", got, r.scratch.Size())
	}
	if err := b.Compute(small); err != nil {
		t.Errorf("the graph allocated before: %v", err)
	}
	if moved, err := r.scratch.Alloc(fits); !moved || err != nil {
		t.Errorf("growing to the limit: moved %t, %v", moved, err)
	}
	if got := b.Usage().Peak[Scratches]; got != 8192 {
		t.Errorf("peak is %d bytes, want 8192", got)
	}
}

func TestImpossibleSizesAreErrors(t *testing.T) {
	b := openCPU(t, 0)
	if _, err := b.Alloc(b.BufferType(), -1, Inputs); err == nil {
		t.Error("no error for a negative size")
	}
	if _, err := b.Alloc(b.BufferType(), 1<<60, Regions); !errors.Is(err, ErrNoMemory) {
		t.Errorf("got %v, want ErrNoMemory", err)
	}
	if got := b.Usage().Total(); got != 0 {
		t.Errorf("%d bytes in use, want 0", got)
	}
	empty, err := b.Alloc(b.BufferType(), 0, Inputs)
	if err != nil {
		t.Fatal(err)
	}
	empty.Clear()
	if empty.Bytes() != nil || empty.Size() != 0 {
		t.Errorf("an empty buffer has %d bytes", empty.Size())
	}
	empty.Close()
}

func TestCloseNamesWhatIsStillInUse(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.cpu().Open(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	buf, err := b.Alloc(b.BufferType(), 100, Slots)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Close()
	if err == nil || !strings.Contains(err.Error(), "cpu: still in use: slots 100 bytes") {
		t.Errorf("got %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	buf.Close()
	if got := b.Usage().Total(); got != 0 {
		t.Errorf("%d bytes in use, want 0", got)
	}
}

func TestOpenChecksItsOptions(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Threads: -1}, {Threads: 10_000}, {Limit: -1}} {
		if _, err := l.cpu().Open(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	b := openCPU(t, 0)
	if b.Threads() != 2 || b.Device() != l.cpu() {
		t.Errorf("got %d threads on %s, want 2 on cpu", b.Threads(), b.Device().Name())
	}
}
