// Package exec runs the steps of a model on its devices.
//
// A [Runner] owns the devices, the model on them and the cache. [Runner.Forward] checks a batch and
// cuts it into steps; Runner.step, in forward.go, takes one step through all layers:
//
//	for layer := range step.Layers(ctx) { // the layer's K/V are on its device
//		for chunk := range step.Chunks() { // prefill: many; decode: one
//			run one graph
//		}
//	}
//
// The files around the loop have one noun each. inputs.go writes token ids, positions and cells to
// a device, room.go says how large the inputs are, and visibility.go writes which cells each token
// sees. graphs.go builds the graph of a layer and keeps it for steps of the same shape. in_place.go says
// where the trees of a step have their rows, so that one operation of the CPU attends to all of them.
// host_attention.go computes attention where the rows are kept, and host_attention_plan.go decides
// for how many layers. device.go opens devices, footprint.go measures what steps take on them, and
// free.go says what they leave for K/V.
//
// What is decided elsewhere: where K/V are and when they move (package kv), what fits (package
// plan), which device computes which layer (internal/devicemap), and how many threads compute
// (internal/threads). The caller chooses the tier: see [kv.Options].
package exec
