package ebb_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
)

func TestOpenReportsEveryFaultOfItsOptions(t *testing.T) {
	_, err := ebb.Open("no such file", ebb.Options{
		Threads: -1, Context: -2, DeviceMemory: -3, KVMemory: -4, Sequences: -5, ResidentLayers: -6, Slots: -7,
		HostLayers: -8, ChunkTokens: -9, StepTokens: -10, Link: math.NaN(), KVType: "q5_1",
	})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{
		"Threads is -1 threads", "Context is -2 tokens", "DeviceMemory is -3 bytes", "KVMemory is -4 bytes",
		"Sequences is -5 sequences", "ResidentLayers is -6 layers", "Slots is -7 layers", "HostLayers is -8 layers",
		"ChunkTokens is -9 tokens", "StepTokens is -10 tokens", "Link is NaN bytes a second", `unknown K/V type "q5_1"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestTheTierOfOptionsHoldsStreamedRows(t *testing.T) {
	made := 0
	e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{
		Cache: kv.Offloaded, KVType: "f32",
		Tier: func(layouts []tier.Layout, memory tier.Allocator) tier.Tier {
			made++
			return host.New(layouts, memory)
		},
	})
	c := golden[goldenGreedy](t, "greedy_tiny-gqa")[0]
	if got, _ := greedy(t, e, c.Prompt, len(c.IDs)); !slices.Equal(got, c.IDs) {
		t.Errorf("ids:\n got %v\nwant %v", got, c.IDs)
	}
	if made != 1 {
		t.Errorf("%d tiers were made for one sequence, want 1", made)
	}
}
