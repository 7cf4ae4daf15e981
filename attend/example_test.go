package attend_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
)

// One token with one head attends over the first of two cells: the mask hides
// the other, so the result is the first cell's value.
func ExampleKind_Graph() {
	library, err := ggml.Load()
	if err != nil {
		log.Fatal(err)
	}
	device, err := library.Device("cpu")
	if err != nil {
		log.Fatal(err)
	}
	backend, err := device.Open(ggml.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}

	const dim, cells = 32, 2
	shapes := ggml.NewContext(4)
	q := shapes.New(ggml.F32, dim, 1, 1)     // [headDim, heads, tokens]
	k := shapes.New(ggml.F32, dim, cells, 1) // [headDim, cells, kvHeads]
	v := shapes.New(ggml.F32, dim, cells, 1) // [valueDim, cells, kvHeads]
	mask := shapes.New(ggml.F16, cells, 1)   // [cells, tokens]
	inputs, err := backend.Alloc(backend.BufferType(), 1024, ggml.Inputs)
	if err != nil {
		log.Fatal(err)
	}
	for i, t := range []*ggml.Tensor{q, k, v, mask} {
		inputs.Place(t, int64(i)*256)
	}
	values := make([]float32, dim*cells)
	for i := range values {
		values[i] = float32(1 + i/dim) // 1 in the first cell, 2 in the second
	}
	ggml.SetSlice(q, values[:dim], 0)
	ggml.SetSlice(k, values, 0)
	ggml.SetSlice(v, values, 0)
	ggml.SetSlice(mask, []uint16{0, 0xFC00}, 0) // 0 and -Inf

	graph := backend.NewGraph(16)
	y := attend.Auto.Graph(graph, q, k, v, mask, attend.Scale{Factor: 1}) // [valueDim, heads, tokens]
	graph.Expand(y)
	scratch := backend.NewScratch()
	if _, err := scratch.Alloc(graph); err != nil {
		log.Fatal(err)
	}
	if err := backend.Compute(graph); err != nil {
		log.Fatal(err)
	}
	out := make([]float32, y.Elements())
	ggml.GetSlice(y, out, 0)
	fmt.Println(y, out[:4])

	graph.Close()
	scratch.Close()
	inputs.Close()
	shapes.Close()
	if err := backend.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: f32 [32 1 1 1] [1 1 1 1]
}
