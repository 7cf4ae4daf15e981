package exec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

func TestFootprintsAreMeasuredBeforeSteps(t *testing.T) {
	for _, device := range []string{"cpu", "vulkan0"} {
		for _, o := range []setting{
			{Options: Options{Attention: attend.Flash}},
			{Options: Options{Attention: attend.Eager}},
			{Options: Options{Attention: attend.Eager}, kvType: "q8_0"},
			{Options: Options{Attention: attend.Eager, Cache: kv.Options{ChunkTokens: 64, StepTokens: 200}}},
			{Options: Options{Attention: attend.Flash, Cache: kv.Options{Trees: 3, ChunkTokens: 64}}},
			{Options: Options{Attention: attend.Eager, Cache: kv.Options{Trees: 3, ChunkTokens: 64, Policy: kv.Offloaded, ForcedCopies: true}}},
			{Options: Options{Attention: attend.Eager, Cache: kv.Options{ChunkTokens: 64, ForcedCopies: true}}, experts: 2},
			{Options: Options{Attention: attend.Flash, Cache: kv.Options{ChunkTokens: 64}}, windows: true},
			{Options: Options{Attention: attend.Eager, Cache: kv.Options{ChunkTokens: 64}}, windows: true},
		} {
			if device != "cpu" && o.Cache.StepTokens == 0 {
				continue // one shows that the device's own sizes are measured; it takes half a minute for each
			}
			t.Run(fmt.Sprintf("%s/%v/%s/%d of %d tokens/%d/windows %v", device, o.Attention, o.kvType, o.Cache.ChunkTokens, o.Cache.StepTokens, o.Cache.Trees, o.windows), func(t *testing.T) {
				o.devices, o.Cache.Cells, o.DeviceMemory = devicemap.Map{"": device}, 300, 1<<30
				e := o.mustOpen(t)
				d := e.devices.all[0]
				want, err := e.footprint(e.options, e.cache(), d, o.Cache.Cells)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, e)
				got := footprintOf(d.backend)
				if got != want {
					t.Errorf("took %v, and %v were measured", got, want)
				}
				for _, bytes := range []int64{got.Weights, got.Inputs, got.Masks, got.Activations, got.Scratch} {
					if bytes == 0 {
						t.Errorf("took %+v; want bytes of all", got)
					}
				}
			})
		}
	}
}

// cache returns the options of a runner's cache, as openCache has them.
func (r *Runner) cache() kv.Options {
	backends, on := r.devices.layerDevices()
	c, err := r.cacheOptions(r.options, backends, on)
	if err != nil {
		panic(err)
	}
	return c
}

// fill computes as many tokens as the cache holds, of some sequences together; then a chunk that
// has tokens of all of them, and all tokens of each alone.
func fill(t *testing.T, e *Runner) {
	t.Helper()
	tokens := make([]int32, e.Context())
	sequences := max(1, e.options.Cache.Trees)
	var batch, chunk []kv.Work
	for i := range sequences {
		s := e.pool.NewSeq()
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		if e.drafter != nil {
			if _, err := e.Draft(s); err != nil {
				t.Fatal(err)
			}
		}
		batch = append(batch, kv.Work{Seq: s, Tokens: tokens, Logits: min(logitBatch, len(tokens))})
		n := 1
		if i == 0 {
			n = min(plan.ChunkTokens(e.options.Cache.ChunkTokens, e.Context()), len(tokens)) - (sequences - 1)
		}
		chunk = append(chunk, kv.Work{Seq: s, Tokens: tokens[:n]})
	}
	if _, err := e.Forward(t.Context(), batch, nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range batch {
		if d, ok := w.Seq.Beside().(*Draft); ok {
			if got, err := d.Guess(t.Context(), make([]int32, len(tokens)+1), 1, nil); err != nil || len(got) != 1 {
				t.Fatalf("guesses %v, %v", got, err)
			}
		}
	}
	for _, w := range chunk {
		if err := w.Seq.Truncate(len(tokens) - len(w.Tokens)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Forward(t.Context(), chunk, nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range batch {
		if err := w.Seq.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Forward(t.Context(), []kv.Work{w}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABudgetHoldsForAllThatADeviceTakes(t *testing.T) {
	for _, o := range []setting{
		{Options: Options{Cache: kv.Options{Policy: kv.Static}}},
		{Options: Options{Cache: kv.Options{Policy: kv.Dynamic, Trees: 2}}},
		{Options: Options{Cache: kv.Options{Policy: kv.Auto, ForcedCopies: true, Trees: 2}}},
		{Options: Options{Cache: kv.Options{Policy: kv.Offloaded, ForcedCopies: true}}},
		{Options: Options{Cache: kv.Options{Policy: kv.OffloadedStatic, ForcedCopies: true, Trees: 2}, Attention: attend.Eager}},
		{Options: Options{Cache: kv.Options{Policy: kv.Offloaded, ForcedCopies: true}, AttendAt: AttendAtHost}},
		{Options: Options{Cache: kv.Options{Policy: kv.Static, ChunkTokens: 64, Trees: 2}}, windows: true},
		{Options: Options{Cache: kv.Options{Policy: kv.Auto, ForcedCopies: true, ChunkTokens: 64}}, windows: true},
		{Options: Options{Cache: kv.Options{Policy: kv.Offloaded, ForcedCopies: true, ChunkTokens: 64}}, windows: true},
		{Options: Options{Cache: kv.Options{Policy: kv.Static, Drafts: 3}}, drafts: true},
		{Options: Options{Cache: kv.Options{Policy: kv.Auto, ForcedCopies: true, ChunkTokens: 64, Drafts: 3}}, drafts: true},
	} {
		t.Run(fmt.Sprintf("%v/%v/%v/%d/windows %v", o.Cache.Policy, o.Attention, o.AttendAt, o.Cache.Trees, o.windows), func(t *testing.T) {
			o.devices = cpu
			o.Cache.Cells, o.DeviceMemory = 512, 1
			_, err := o.open(t)
			short, ok := errors.AsType[*plan.BudgetError](err)
			if !ok || !errors.Is(err, kv.ErrFull) {
				t.Fatalf("opened within a byte: %v, which is not %v", err, kv.ErrFull)
			}
			least := short.Least()
			o.DeviceMemory = least - 1
			if _, err := o.open(t); !strings.Contains(errorText(err), fmt.Sprintf("the least that works is %s, or a context of at most 256", bytesize.Ceil(least))) {
				t.Errorf("with %d bytes: %v, want an error that names the least that works, %d", o.DeviceMemory, err, least)
			}
			o.DeviceMemory = least
			e := o.mustOpen(t)
			fill(t, e)
			taken := int64(0)
			for p, n := range e.Stats()[0].Device.Peak {
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
	o := setting{devices: cpu, Options: Options{Cache: kv.Options{Policy: kv.Static}, DeviceMemory: 1}}
	_, err := o.open(t)
	short, ok := errors.AsType[*plan.BudgetError](err)
	if !ok || short.Cells != kv.Block || short.MostCells != 0 {
		t.Fatalf("opened within a byte: %v, want an error about the shortest context", err)
	}
	o.DeviceMemory = short.Footprint.Total() + short.KV
	e := o.mustOpen(t)
	if e.Context() != kv.Block || len(e.Notes()) != 1 || !strings.Contains(e.Notes()[0], "context cut from 512 to 256 tokens to fit") {
		t.Errorf("context %d, notes %q; want %d and a note that says so", e.Context(), e.Notes(), kv.Block)
	}
	o.DeviceMemory = 1 << 30
	if e := o.mustOpen(t); e.Context() != 512 || len(e.Notes()) != 0 {
		t.Errorf("context %d, notes %q; want all 512 and no note", e.Context(), e.Notes())
	}
	o.KVMemory = 400 << 10 // K/V of 512 tokens take 640 KiB
	if e := o.mustOpen(t); e.Context() != 256 || len(e.Notes()) != 1 {
		t.Errorf("context %d, notes %q; want 256, for which there is memory, and a note", e.Context(), e.Notes())
	}
}

func TestABudgetLeavesLayersWhereTheyAreWhileItCan(t *testing.T) {
	o := setting{devices: cpu, Options: Options{Cache: kv.Options{Cells: 512, Policy: kv.Offloaded, ForcedCopies: true}, DeviceMemory: 1 << 30}}
	if s := o.mustOpen(t).pool.Stats(); s.StreamedLayers != 0 {
		t.Errorf("%d streamed layers within a GiB, want none", s.StreamedLayers)
	}
	o.DeviceMemory = 1
	_, err := o.open(t)
	short, ok := errors.AsType[*plan.BudgetError](err)
	if !ok {
		t.Fatal(err)
	}
	layer := short.KV / 2 // of two slots
	o.DeviceMemory = short.Footprint.Total() + 4*layer
	if s := o.mustOpen(t).pool.Stats(); s.ResidentLayers != 2 || s.StreamedLayers != 3 {
		t.Errorf("%d resident and %d streamed layers with room for 4, want 2 and 3 with two slots", s.ResidentLayers, s.StreamedLayers)
	}
}

func TestEveryDeviceHasItsBudget(t *testing.T) {
	o := setting{devices: devicemap.Map{"": "cpu", "model.layers.2-4": "vulkan0"}, Options: Options{Cache: kv.Options{Cells: 256}, DeviceMemory: 1}}
	_, err := o.open(t)
	short, ok := errors.AsType[*plan.BudgetError](err)
	if !ok || short.Device != "vulkan0" {
		t.Fatalf("got %v, want an error about vulkan0: the CPU beside it is not bounded", err)
	}
	o.DeviceMemory = short.Footprint.Total() + short.KV
	e, err := o.open(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestImpossibleSizesAreErrors(t *testing.T) {
	for _, o := range []Options{
		{DeviceMemory: -1},
		{DeviceMemory: 1 << 30, Cache: kv.Options{Policy: kv.Offloaded, ResidentLayers: 6}},
		{DeviceMemory: 1 << 30, Cache: kv.Options{Policy: kv.Offloaded, ResidentLayers: -1}},
		{DeviceMemory: 1 << 30, Cache: kv.Options{Cells: -5}},
		{DeviceMemory: 1 << 30, Cache: kv.Options{Trees: -1}},
		{DeviceMemory: 1 << 30, Cache: kv.Options{Slots: -3}},
		{DeviceMemory: 1 << 30, Cache: kv.Options{StepTokens: -7}},
		{DeviceMemory: 1 << 30, KVMemory: -7},
	} {
		e, err := setting{devices: cpu, Options: o}.open(t)
		if err == nil {
			t.Errorf("%+v: opened (closed: %v), want an error", o, e.Close())
		}
	}
}

func TestLargestChunksFillTheInputs(t *testing.T) {
	s := sizes{step: 100, chunk: 10, cells: 256}
	for trees := 1; trees <= 10; trees++ {
		for i, shape := range chunks(s, 1, trees, kv.Rows{}) {
			n, want := 0, trees
			if i == 0 {
				want = 1
			}
			for i, p := range shape.parts {
				if p.Tree != i || p.First != shape.first+n || p.N < 1 || p.Mask != n*s.cells || p.Cells != s.cells {
					t.Errorf("%d trees: part %d is %+v after %d tokens", trees, i, p, n)
				}
				n += p.N
			}
			if len(shape.parts) != want || n != s.chunk || shape.n != s.chunk {
				t.Errorf("%d trees: %d parts with %d of %d tokens, want %d parts with %d", trees, len(shape.parts), n, shape.n, want, s.chunk)
			}
		}
	}
}
