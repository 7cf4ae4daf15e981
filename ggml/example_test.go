package ggml_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/ggml"
)

// A graph is built once and computed as often as its inputs change.
func Example() {
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

	// Inputs live in a buffer of their own.
	shapes := ggml.NewContext(2)
	w := shapes.New(ggml.F32, 2, 3) // [in, out]
	x := shapes.New(ggml.F32, 2)    // [in]
	inputs, err := backend.Alloc(backend.BufferType(), 64, ggml.Inputs)
	if err != nil {
		log.Fatal(err)
	}
	inputs.Place(w, 0)
	inputs.Place(x, 32)
	ggml.SetSlice(w, []float32{1, 0, 0, 1, 1, 1}, 0)

	graph := backend.NewGraph(1)
	y := graph.MulMat(w, x) // [out]
	graph.Expand(y)
	scratch := backend.NewScratch()
	if _, err := scratch.Alloc(graph); err != nil {
		log.Fatal(err)
	}

	for _, in := range [][]float32{{1, 2}, {3, 4}} {
		ggml.SetSlice(x, in, 0)
		if err := backend.Compute(graph); err != nil {
			log.Fatal(err)
		}
		out := make([]float32, y.Elements())
		ggml.GetSlice(y, out, 0)
		fmt.Println(y, out)
	}

	graph.Close()
	scratch.Close()
	inputs.Close()
	shapes.Close()
	if err := backend.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// f32 [3 1 1 1] [1 2 3]
	// f32 [3 1 1 1] [3 4 7]
}
