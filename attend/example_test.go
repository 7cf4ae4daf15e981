package attend_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// Two tokens attend over two cells that hold 1 and 2: the first token sees the first cell alone,
// and the second both, whose keys are the same.
func ExampleAttention_Graph() {
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
	attention := attend.On(device, attend.Auto, isa.Go)

	const dim, cells, tokens = 32, 2, 2
	var sees attend.Spans
	sees.Reset(1, tokens, 0, 0)
	for token := range tokens {
		sees.See(0, 0, token+1)
		sees.EndRow(token)
	}
	shapes := ggml.NewContext(4)
	q := shapes.New(ggml.F32, dim, 1, tokens) // [headDim, heads, tokens]
	k := shapes.New(ggml.F32, dim, cells, 1)  // [headDim, cells, kvHeads]
	v := shapes.New(ggml.F32, dim, cells, 1)  // [valueDim, cells, kvHeads]
	spans := shapes.New(ggml.I32, int64(len(sees.Words())))
	inputs, err := backend.Alloc(backend.BufferType(), 2048, ggml.Inputs)
	if err != nil {
		log.Fatal(err)
	}
	for i, t := range []*ggml.Tensor{q, k, v, spans} {
		inputs.Place(t, int64(i)*512)
	}
	values := make([]float32, dim*cells)
	for i := range values {
		values[i] = float32(1 + i/dim)
	}
	ggml.SetSlice(q, make([]float32, dim*tokens), 0)
	ggml.SetSlice(k, make([]float32, dim*cells), 0)
	ggml.SetSlice(v, values, 0)
	ggml.SetSlice(spans, sees.Words(), 0)

	graph := backend.NewGraph(16)
	y := attention.Graph(graph, q, k, v, spans, attend.Scores{}) // [valueDim, heads, tokens]
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
	fmt.Println(y, out[0], out[dim])

	graph.Close()
	scratch.Close()
	inputs.Close()
	shapes.Close()
	if err := backend.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: f32 [32 1 2 1] 1 1.5
}
