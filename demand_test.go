package ebb

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

var tinyModel = filepath.Join("testdata", "models", "tiny-gqa.gguf")

// openWithin opens a tiny model within a budget, or skips where there is no such device.
func openWithin(t *testing.T, o Options) *Engine {
	t.Helper()
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := library.Device(o.Device); err != nil {
		t.Skipf("no device %s: run make vulkan", o.Device)
	}
	o.Threads = 1
	e, err := Open(tinyModel, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestWhatStepsTakeIsMeasuredBeforeTheyDo(t *testing.T) {
	for _, device := range []string{"cpu", "vulkan0"} {
		for _, o := range []Options{
			{Attention: attend.Flash},
			{Attention: attend.Eager},
			{Attention: attend.Eager, KVType: "q8_0"},
			{Attention: attend.Eager, ChunkTokens: 64, StepTokens: 200},
			{Attention: attend.Flash, Sequences: 3, ChunkTokens: 64},
			{Attention: attend.Eager, Sequences: 3, ChunkTokens: 64, Cache: kv.Offloaded, ForcedCopies: true},
		} {
			if device != "cpu" && o.StepTokens == 0 {
				continue // one shows that the device's own sizes are measured; it takes half a minute for each
			}
			t.Run(fmt.Sprintf("%s/%v/%s/%d of %d tokens/%d", device, o.Attention, o.KVType, o.ChunkTokens, o.StepTokens, o.Sequences), func(t *testing.T) {
				o.Device, o.Context, o.Budget = device, 300, 1<<30
				e := openWithin(t, o)
				d := e.devices.all[0]
				want, err := e.demand(o, e.cache(o), d, o.Context)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, e, o)
				got := d.backend.Usage().Current
				for _, p := range purposes {
					if got[p] != want[p] || got[p] == 0 {
						t.Errorf("%s: took %d bytes, and %d were measured", p, got[p], want[p])
					}
				}
			})
		}
	}
}

// cache returns the options of an engine's cache, as openCache has them.
func (e *Engine) cache(o Options) kv.Options {
	backends, on := e.devices.places()
	c, err := e.cacheOptions(o, backends, on)
	if err != nil {
		panic(err)
	}
	return c
}

// fill computes as many tokens as the engine holds, of some sequences together;
// then a chunk that has tokens of all of them, and all tokens of each alone.
func fill(t *testing.T, e *Engine, o Options) {
	t.Helper()
	tokens := make([]int32, e.Context())
	sequences := max(1, o.Sequences)
	var batch, chunk []kv.Work
	for i := range sequences {
		s := e.NewSeq()
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		batch = append(batch, kv.Work{Seq: s, Tokens: tokens, Logits: min(logitBatch, len(tokens))})
		n := 1
		if i == 0 {
			n = min(chunkTokens(o, e.Context()), len(tokens)) - (sequences - 1)
		}
		chunk = append(chunk, kv.Work{Seq: s, Tokens: tokens[:n]})
	}
	if _, err := e.Forward(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, w := range chunk {
		if err := w.Seq.Truncate(len(tokens) - len(w.Tokens)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Forward(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	for _, w := range batch {
		if err := w.Seq.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Forward(t.Context(), []kv.Work{w}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABudgetHoldsForAllThatADeviceTakes(t *testing.T) {
	for _, o := range []Options{
		{Cache: kv.Static},
		{Cache: kv.Dynamic, Sequences: 2},
		{Cache: kv.Offloaded, ForcedCopies: true},
		{Cache: kv.OffloadedStatic, ForcedCopies: true, Sequences: 2, Attention: attend.Eager},
		{Cache: kv.Offloaded, ForcedCopies: true, Attend: AttendAtHost},
	} {
		t.Run(fmt.Sprintf("%v/%v/%v/%d", o.Cache, o.Attention, o.Attend, o.Sequences), func(t *testing.T) {
			o.Device, o.Context, o.Budget = "cpu", 512, 1
			_, err := Open(tinyModel, o)
			short, ok := errors.AsType[*budgetError](err)
			if !ok {
				t.Fatalf("opened within a byte: %v", err)
			}
			least := short.demand.total() + short.kv
			o.Budget = least - 1
			if _, err := Open(tinyModel, o); !strings.Contains(errorText(err), fmt.Sprintf("the least that works is %d bytes, or a context of at most 256", least)) {
				t.Errorf("with %d bytes: %v, want an error that names the least that works, %d", o.Budget, err, least)
			}
			o.Budget = least
			e := openWithin(t, o)
			fill(t, e, o)
			taken := int64(0)
			for p, n := range e.Stats().Devices[0].Device.Peak {
				if p != ggml.HostRows {
					taken += n
				}
			}
			if taken > least {
				t.Errorf("took %d bytes at most, want %d", taken, least)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestAnOpenContextIsCutToTheBudget(t *testing.T) {
	o := Options{Device: "cpu", Cache: kv.Static, Budget: 1}
	_, err := Open(tinyModel, o)
	short, ok := errors.AsType[*budgetError](err)
	if !ok || short.cells != kv.Block || short.most != 0 {
		t.Fatalf("opened within a byte: %v, want an error about the shortest context", err)
	}
	o.Budget = short.demand.total() + short.kv
	e := openWithin(t, o)
	if e.Context() != kv.Block || len(e.Notes()) != 1 || !strings.Contains(e.Notes()[0], "context cut from 512 to 256 tokens to fit") {
		t.Errorf("context %d, notes %q; want %d and a note that says so", e.Context(), e.Notes(), kv.Block)
	}
	o.Budget = 1 << 30
	if e := openWithin(t, o); e.Context() != 512 || len(e.Notes()) != 0 {
		t.Errorf("context %d, notes %q; want all 512 and no note", e.Context(), e.Notes())
	}
	o.DeviceMemory = 400 << 10 // K/V of 512 tokens take 640 KiB
	if e := openWithin(t, o); e.Context() != 256 || len(e.Notes()) != 1 {
		t.Errorf("context %d, notes %q; want 256, for which there is memory, and a note", e.Context(), e.Notes())
	}
}

func TestABudgetLeavesLayersWhereTheyAreWhileItCan(t *testing.T) {
	o := Options{Device: "cpu", Context: 512, Cache: kv.Offloaded, ForcedCopies: true, Budget: 1 << 30}
	if s := openWithin(t, o).Stats().Cache; s.StreamedLayers != 0 {
		t.Errorf("%d streamed layers within a GiB, want none", s.StreamedLayers)
	}
	o.Budget = 1
	_, err := Open(tinyModel, o)
	short, ok := errors.AsType[*budgetError](err)
	if !ok {
		t.Fatal(err)
	}
	layer := short.kv / 2 // of two slots
	o.Budget = short.demand.total() + 4*layer
	if s := openWithin(t, o).Stats().Cache; s.ResidentLayers != 2 || s.StreamedLayers != 3 {
		t.Errorf("%d resident and %d streamed layers with room for 4, want 2 and 3 with two slots", s.ResidentLayers, s.StreamedLayers)
	}
}

func TestEveryDeviceHasItsBudget(t *testing.T) {
	o := Options{DeviceMap: DeviceMap{"": "cpu", "model.layers.2-4": "vulkan0"}, Context: 256, Budget: 1, Threads: 1}
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	if _, err := library.Device("vulkan0"); err != nil {
		t.Skip("no device vulkan0: run make vulkan")
	}
	_, err = Open(tinyModel, o)
	short, ok := errors.AsType[*budgetError](err)
	if !ok || short.device != "vulkan0" {
		t.Fatalf("got %v, want an error about vulkan0: the CPU beside it is not bounded", err)
	}
	o.Budget = short.demand.total() + short.kv
	e, err := Open(tinyModel, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestSizesThatNoBudgetHasAreErrors(t *testing.T) {
	for _, o := range []Options{
		{Budget: -1},
		{Budget: 1 << 30, KVType: "q5_1"},
		{Budget: 1 << 30, Cache: kv.Offloaded, ResidentLayers: 6},
		{Budget: 1 << 30, Cache: kv.Offloaded, ResidentLayers: -1},
		{Budget: 1 << 30, Context: -5},
		{Budget: 1 << 30, Sequences: -1},
		{Budget: 1 << 30, Slots: -3},
		{Budget: 1 << 30, StepTokens: -7},
		{Budget: 1 << 30, DeviceMemory: -7},
	} {
		o.Threads = 1
		e, err := Open(tinyModel, o)
		if err == nil {
			t.Errorf("%+v: opened (closed: %v), want an error", o, e.Close())
		}
	}
}
