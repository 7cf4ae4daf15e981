package plan_test

import (
	"fmt"

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
