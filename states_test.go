package ebb_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
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
