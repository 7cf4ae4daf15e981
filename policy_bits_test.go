package ebb_test

import (
	"fmt"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

// script takes two sequences through what changes a cache's shape: prefill past a block, decoding
// together and alone, truncation and another prompt, a fork. It returns every row of logits. Each
// kind of step is repeated so often; where it is done once, steps have one row or two, so that the
// software Vulkan device needs few shaders.
func script(t *testing.T, e *ebb.Engine, repeat int) (rows [][]float32) {
	t.Helper()
	a, b := e.NewSeq(), e.NewSeq()
	defer closeSeq(t, a)
	defer closeSeq(t, b)
	step := func(works ...kv.Work) {
		out, err := e.Forward(t.Context(), works)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out {
			rows = append(rows, r...)
		}
	}
	some, few := 4, 2 // tokens
	if repeat == 1 {
		some, few = 2, 1
	}
	step(kv.Work{Seq: a, Tokens: prompt(1, 254), Logits: 2})
	for i := range repeat + 1 { // across the border of a block
		step(kv.Work{Seq: a, Tokens: prompt(10+i, some), Logits: 2})
	}
	step(kv.Work{Seq: b, Tokens: prompt(2, 20), Logits: 1}, kv.Work{Seq: a, Tokens: prompt(3, 1), Logits: 1})
	for i := range repeat {
		step(kv.Work{Seq: a, Tokens: prompt(20+i, 1), Logits: 1}, kv.Work{Seq: b, Tokens: prompt(30+i, 1), Logits: 1})
	}
	if err := a.Truncate(100); err != nil {
		t.Fatal(err)
	}
	step(kv.Work{Seq: a, Tokens: prompt(4, 30), Logits: 2})
	fork, err := a.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, fork)
	for i := range repeat {
		step(kv.Work{Seq: a, Tokens: prompt(40+i, 1), Logits: 1}, kv.Work{Seq: fork, Tokens: prompt(50+i, few), Logits: 1})
	}
	step(kv.Work{Seq: fork, Tokens: prompt(5, 1), Logits: 1})
	return rows
}

// prompt returns n tokens that depend on a seed.
func prompt(seed, n int) []int32 {
	ids := make([]int32, n)
	x := uint32(seed)*2654435761 + 1
	for i := range ids {
		x = x*1664525 + 1013904223
		ids[i] = int32(x >> 24)
	}
	return ids
}

// cell is one combination of what must not change a bit.
type cell struct {
	layers   int
	kvType   string
	resident int
	policy   kv.Policy
}

func (c cell) String() string {
	return fmt.Sprintf("%d layers/%s/%d resident/%v", c.layers, c.kvType, c.resident, c.policy)
}

// repeats is how often script repeats a step. The software Vulkan device takes some milliseconds
// for each operation.
func (p place) repeats() int {
	if p.short() {
		return 1
	}
	return 3
}

// cells are the combinations that are compared with static: each value of each kind, on a GPU a few of
// them, or with EBB_TEST_ALL all. That every pair of values gives the bits of static is proved in package
// kv, without a model and on each of the devices; here it is shown that the engine's graphs keep it.
func (p place) cells() (all []cell) {
	switch {
	case p.short() && p.shared:
		return []cell{{5, "f16", 0, kv.Offloaded}, {5, "f16", 0, kv.Auto}}
	case p.short():
		return []cell{{5, "f16", 2, kv.Offloaded}, {5, "f16", 0, kv.Auto}, {3, "q4_0", 1, kv.OffloadedStatic}}
	case !testAll:
		return []cell{
			{1, "f32", 0, kv.Offloaded},
			{2, "f16", 1, kv.OffloadedStatic},
			{2, "q8_0", 0, kv.Dynamic},
			{3, "bf16", 0, kv.Offloaded},
			{3, "q4_0", 1, kv.OffloadedStatic},
			{3, "f16", 3, kv.Offloaded},
			{5, "f16", 2, kv.Offloaded},
			{5, "f16", 0, kv.Auto},
			{5, "f32", 0, kv.OffloadedStatic},
		}
	}
	for _, layers := range []int{1, 2, 3, 5} {
		for _, typ := range []string{"f32", "f16", "bf16", "q8_0", "q4_0"} {
			for _, resident := range residents(layers) {
				for _, policy := range []kv.Policy{kv.Auto, kv.Dynamic, kv.Offloaded, kv.OffloadedStatic} {
					if policy == kv.Dynamic && resident > 0 {
						continue
					}
					all = append(all, cell{layers, typ, resident, policy})
				}
			}
		}
	}
	return all
}

// residents returns none, some and all of a number of layers.
func residents(layers int) []int {
	if layers == 1 {
		return []int{0, 1}
	}
	return []int{0, layers / 2, layers}
}

func TestEveryPolicyGivesTheBitsOfStatic(t *testing.T) {
	for _, p := range allPlaces {
		t.Run(p.name, func(t *testing.T) {
			requireDevice(t, p.device)
			models := map[int]string{}
			static := map[string][][]float32{}
			bytes := map[string]int64{} // of both sequences' K/V
			for _, c := range p.cells() {
				if models[c.layers] == "" {
					models[c.layers] = testmodel.WriteFile(t, testmodel.Options{Layers: c.layers, Seed: uint64(c.layers)})
				}
				o := ebb.Options{KVType: c.kvType, Context: 512, ChunkTokens: 64}
				key := fmt.Sprint(c.layers, c.kvType)
				if static[key] == nil {
					o.Cache = kv.Static
					e := p.open(t, models[c.layers], o)
					static[key] = script(t, e, p.repeats())
					bytes[key] = e.Stats().Cache.DeviceBytesPeak
				}
				t.Run(c.String(), func(t *testing.T) {
					o.Cache, o.ResidentLayers = c.policy, c.resident
					leave := c.policy == kv.Auto && c.resident == 0 && (p.copies || p.device != "cpu")
					if leave {
						o.Sequences, o.KVMemory = 2, bytes[key]*3/(2*int64(c.layers)) // for three layers of one
					}
					e := p.open(t, models[c.layers], o)
					if err := sameBits(script(t, e, p.repeats()), static[key]); err != nil {
						t.Error(err)
					}
					s := e.Stats().Cache
					if leave && c.layers > 3 && s.Demotions == 0 && s.StreamedLayers == 0 {
						t.Error("no layer has left: the test shows nothing")
					}
					if moves := p.copies || p.device != "cpu"; moves && s.StreamedLayers > 2*p.devices() && (s.FetchedBytes == 0 || s.StoredBytes == 0) {
						t.Errorf("%d layers streamed, but %d bytes were fetched and %d stored", s.StreamedLayers, s.FetchedBytes, s.StoredBytes)
					}
				})
			}
		})
	}
}

func TestExpertsGiveTheBitsOfStatic(t *testing.T) {
	for _, model := range []string{"tiny-qwen3moe", "tiny-64-experts", "tiny-gptoss"} {
		for _, p := range cpuPlaces {
			t.Run(model+"/"+p.name, func(t *testing.T) {
				path := goldenPath(t, model)
				o := ebb.Options{Cache: kv.Static, Context: 512, ChunkTokens: 64}
				want := script(t, p.open(t, path, o), p.repeats())
				for _, policy := range []kv.Policy{kv.Offloaded, kv.OffloadedStatic, kv.Dynamic} {
					o.Cache = policy
					if err := sameBits(script(t, p.open(t, path, o), p.repeats()), want); err != nil {
						t.Errorf("%v: %v", policy, err)
					}
				}
			})
		}
	}
}

func TestQuantisedWeightsGiveTheBitsOfStatic(t *testing.T) {
	requireDevice(t, "cpu")
	for _, typ := range []ggml.Type{ggml.Q8_0, ggml.Q4_0, ggml.Q4_K} {
		path := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Hidden: 256, Heads: 4, KVHeads: 2, HeadDim: 64, FF: 256, Type: typ, Seed: 7})
		for _, p := range allPlaces {
			if p.short() && (p.shared || typ != ggml.Q4_K) {
				continue // the shaders of a type take half a minute to compile
			}
			t.Run(typ.String()+"/"+p.name, func(t *testing.T) {
				requireDevice(t, p.device)
				o := ebb.Options{Cache: kv.Static, Context: 512, ChunkTokens: 64}
				want := script(t, p.open(t, path, o), p.repeats())
				for _, policy := range []kv.Policy{kv.Offloaded, kv.OffloadedStatic, kv.Dynamic} {
					if p.short() && policy != kv.Offloaded {
						continue
					}
					o.Cache = policy
					if err := sameBits(script(t, p.open(t, path, o), p.repeats()), want); err != nil {
						t.Errorf("%v: %v", policy, err)
					}
				}
			})
		}
	}
}
