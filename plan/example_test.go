package plan_test

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/plan"
)

// Llama-3.1-8B with 32k tokens in f16, all layers streamed: 4.3 GB a step, over
// a link of 25 GB/s, beside a host that reads 40 GB/s.
func ExampleHostLayers() {
	step := plan.Sweep{Compute: 0.010, Fetch: 4.3 / 25, Attend: 4.3 / 40}
	layers := plan.HostLayers(32, step)
	fmt.Printf("%d of 32 layers: %.0f ms a step, %.0f without\n", layers, step.Seconds(float64(layers)/32)*1e3, step.Seconds(0)*1e3)
	// Output: 19 of 32 layers: 74 ms a step, 172 without
}

// Memory for slots and as many resident layers as fit. SmolLM2-135M has 30
// layers of 3 KV heads of 64 values: 768 bytes a cell in f16.
func ExampleCache_Place() {
	c := plan.Cache{Layers: slices.Repeat([]plan.Layer{{RowBytes: 768}}, 30), Cells: 8192, Streams: true}
	for _, memory := range []int64{200 << 20, 64 << 20, 8 << 20} {
		c.Memory = []int64{memory}
		p, err := c.Place()
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%d MiB: %d of 30 layers stream through %d slots\n", memory>>20, p[0].Streamed, p[0].Slots)
	}
	// Output:
	// 200 MiB: 0 of 30 layers stream through 0 slots
	// 64 MiB: 22 of 30 layers stream through 2 slots
	// 8.0 MiB of device memory is too little for 2 slots and 0 resident layers of 8192 cells: the least that works is 12.0 MiB, or a context of at most 5376
}

// Llama-3.1-8B in Q4_K_M with 131072 tokens in f16, on a card with 16 GB.
func ExampleRequest_On() {
	r := plan.Request{
		Model:       plan.Model{Weights: 4_920_000_000, Hidden: 4096, Vocab: 128256, FeedForward: 14336},
		Layers:      slices.Repeat([]plan.Layer{{RowBytes: 4096}}, 32),
		StepWeights: 4_620_000_000, Context: 131072, DeviceMemory: 8 << 30, HostMemory: 32 << 30,
	}
	f, err := r.On(plan.Machine{DeviceMemory: 16e9, DeviceRate: 288e9, HostMemory: 32 << 30, LinkRate: 12e9, DiskRate: 3e9})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d of 32 layers resident, %.1f GiB in host memory\n", 32-f.Placement.Streamed, float64(f.Host)/(1<<30))
	fmt.Printf("%.1f tokens/s, limited by %s\n", f.Full.PerSecond, f.Full.LimitedBy)
	// Output:
	// 4 of 32 layers resident, 14.0 GiB in host memory
	// 0.8 tokens/s, limited by link
}

// Four layers that each compute for 2 ms and are fetched in 2 ms, with one slot and with two. Logits
// take 1 ms, in which the link fills the slots and then waits.
func ExamplePipeline() {
	layers := slices.Repeat([]plan.Stage{{Compute: 0.002, Visits: true, Fetch: 0.002}}, 4)
	for slots := 1; slots <= 2; slots++ {
		p := plan.Pipeline{Stages: layers, Slots: slots, After: 0.001}
		fmt.Printf("%d: %.0f ms, at best %.0f\n", slots, p.Seconds()*1e3, p.Bound()*1e3)
	}
	// Output:
	// 1: 16 ms, at best 9
	// 2: 10 ms, at best 9
}
