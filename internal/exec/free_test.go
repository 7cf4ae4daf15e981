package exec

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// What steps will need, what is left free, and weights that are still in their file are not K/V's.
func TestWhatIsFreeForKV(t *testing.T) {
	free, known := int64(1<<40), true
	o := setting{devices: cpu, Options: Options{HostRoom: func() (int64, bool) { return free, known }}}
	e := o.mustOpen(t)
	read := func(device int, enough int64) (int64, bool) {
		t.Helper()
		f := e.newFreeMemory(e.options, kv.Options{Layers: shapes(e), TypeK: e.options.Cache.TypeK, TypeV: e.options.Cache.TypeV, Cells: e.Context()}, backendsOf(e))
		return f.room(device, enough)
	}
	if n, ok := read(0, 1<<30); !ok || n != free-mostLeft-e.devices.all[0].backend.Usage().Mapped {
		t.Errorf("%d bytes (known: %v) where there is plenty", n, ok)
	}
	free = 64 << 20
	if n, ok := read(kv.HostMemory, 0); !ok || n != free-leastLeft-e.mapped() {
		t.Errorf("%d bytes of host memory (known: %v); want %d", n, ok, free-leastLeft-e.mapped())
	}
	if n, ok := read(0, 0); !ok || n <= 0 || n >= free-leastLeft-e.devices.all[0].backend.Usage().Mapped {
		t.Errorf("%d bytes (known: %v); want fewer than without steps", n, ok)
	}
	if n, ok := beside(free, 1<<30).inHost(0); !ok || n != (free-leastLeft)/4 {
		t.Errorf("%d bytes (known: %v) beside weights that are larger than the memory; want %d", n, ok, (free-leastLeft)/4)
	}
	free = 1 << 20
	if n, ok := read(0, 0); !ok || n != 0 {
		t.Errorf("%d bytes (known: %v) where nothing is left; want 0", n, ok)
	}
	known = false
	if _, ok := read(0, 0); ok {
		t.Error("what the system does not say is known")
	}
}

// Where layers are used in place and memory ends, a step is an error that says so.
func TestKVInPlaceTakeNoMoreThanIsFree(t *testing.T) {
	o := setting{devices: cpu, Options: Options{HostRoom: func() (int64, bool) { return leastLeft + 1, true }}}
	e := o.mustOpen(t)
	s := e.pool.NewSeq()
	defer s.Close()
	_, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: make([]int32, 5), Logits: 1}}, nil)
	if !errors.Is(err, kv.ErrNoMemory) || !strings.Contains(err.Error(), "as no layer can leave it, the least that works is") {
		t.Errorf("%v; want an error that says what would be enough", err)
	}
}

// A model that is larger than the memory computes: it stays in its file, by itself too, and its K/V have
// a place.
func TestAModelLargerThanTheMemoryComputes(t *testing.T) {
	file := testmodel.WriteFile(t, testmodel.Options{Layers: 2, Hidden: 1024, FF: 4096, Type: ggml.Q8_0})
	const free = 24 << 20 // bytes, beside what is left for others
	for _, noPack := range []bool{true, false} {
		s := setting{devices: cpu, file: file, Options: Options{NoPack: noPack, ISA: isa.Go, HostRoom: func() (int64, bool) { return leastLeft + free, true }}}
		s.Cache.StepTokens, s.Cache.ChunkTokens = 8, 8
		e := s.mustOpen(t)
		if e.mapped() <= free {
			t.Fatalf("%d bytes are mapped, want more than %d", e.mapped(), int64(free))
		}
		if notes := e.Notes(); noPack == (len(notes) == 1 && strings.Contains(notes[0], "the weights stay in their file")) {
			t.Errorf("told not to pack: %v; notes %q, want one that weights stay in their file if not", noPack, notes)
		}
		seq := e.pool.NewSeq()
		if _, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: make([]int32, 5), Logits: 1}}, nil); err != nil {
			t.Errorf("told not to pack: %v; %v", noPack, err)
		}
		if err := seq.Close(); err != nil {
			t.Error(err)
		}
	}
}

// beside returns free memory of which weights in their file would take some.
func beside(free, mapped int64) *freeMemory {
	return &freeMemory{hostRoom: func() (int64, bool) { return free, true }, mapped: func() int64 { return mapped }}
}

// shapes returns the shapes of a runner's layers.
func shapes(e *Runner) (all []kv.Shape) {
	for _, l := range e.config.Layers {
		all = append(all, kv.Shape{Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim, Window: l.Window, Shares: l.SharesKV, Of: l.KVOf})
	}
	return all
}

// backendsOf returns the devices of a runner's cache.
func backendsOf(e *Runner) []*ggml.Backend {
	backends, _ := e.devices.layerDevices()
	return backends
}
