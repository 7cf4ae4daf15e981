package ebb_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// The first half of the layers is on the CPU, and so are their states.
func TestStatesLieOnTheDevicesOfTheirLayers(t *testing.T) {
	e := onBoth.openShort(t, modelPath("tiny-qwen35"), ebb.Options{KVType: "f32"})
	for _, c := range golden[goldenGreedy](t, "greedy_tiny-qwen35")[:1] {
		n := min(4, firstUnsure(c.Margins, onBoth))
		if got, _ := greedy(t, e, c.Prompt, n); !slices.Equal(got, c.IDs[:n]) {
			t.Errorf("got %v\nwant %v", got, c.IDs[:n])
		}
	}
	s := e.Stats()
	each := s.Cache.StateBytes / 6 // of one layer
	if s.Cache.RecurrentLayers != 6 || len(s.Devices) != 2 {
		t.Fatalf("%d recurrent layers on %d devices; want 6 on 2", s.Cache.RecurrentLayers, len(s.Devices))
	}
	for _, d := range s.Devices {
		if got, want := d.Device.Peak[ggml.States], 3*2*each; got != want {
			t.Errorf("%s: states take %d bytes at most; want %d, two in each of 3 layers", d.Name, got, want)
		}
	}
}

// Where not even the states fit they visit the device, and the results are the same bits.
func TestStatesThatVisitTheirDeviceChangeNoBit(t *testing.T) {
	skipShort(t)
	path := modelPath("tiny-qwen35")
	prompt := golden[goldenGreedy](t, "greedy_tiny-qwen35")[0].Prompt
	run := func(o ebb.Options) ([][]float32, ebb.Stats) {
		e := cpuCopies.openShort(t, path, o)
		_, rows := greedy(t, e, prompt, 4)
		return rows, e.Stats()
	}
	want, stay := run(ebb.Options{Cache: kv.Static, Context: 256})
	least := 3 * stay.Cache.StateBytes / 2 // besides slots of 256 cells: less than two states of all layers, and more than of one
	for _, policy := range []kv.Policy{kv.Auto, kv.Offloaded, kv.OffloadedStatic} {
		got, s := run(ebb.Options{Cache: policy, Context: 256, KVMemory: 2*256*rowOf(stay) + least})
		if s.Cache.StatesBytesPeak == 0 || s.Cache.StatesBytesPeak >= stay.Cache.StatesBytesPeak/2 {
			t.Errorf("%v: states take %d bytes on the device; want those of a layer, of %d", policy, s.Cache.StatesBytesPeak, stay.Cache.StatesBytesPeak)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%v: logits differ from those of static", policy)
		}
	}
}

// rowOf returns the bytes of a token in one layer with attention, of two.
func rowOf(s ebb.Stats) int64 { return s.Cache.TokenBytes / 2 }
