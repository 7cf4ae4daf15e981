package product_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// A matrix of 32 rows, of which row r is 32 times r, multiplies a token of ones.
func ExampleProducts_Product() {
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
	products := product.On(device, isa.Go)

	const in, out = 32, 32
	numbers, ones := make([]float32, in*out), make([]float32, in)
	for i := range numbers {
		numbers[i], ones[i%in] = float32(i/in), 1
	}
	rows, err := ggml.Quantize(ggml.Q8_0, numbers, in)
	if err != nil {
		log.Fatal(err)
	}
	packed := make([]byte, len(rows))
	product.Pack(ggml.Q8_0, packed, rows, in)

	shapes := ggml.NewContext(2)
	w, x := shapes.New(ggml.Q8_0, in, out), shapes.New(ggml.F32, in, 1)
	inputs, err := backend.Alloc(backend.BufferType(), 4096, ggml.Inputs)
	if err != nil {
		log.Fatal(err)
	}
	inputs.Place(w, 0)
	inputs.Place(x, 2048)
	w.Set(packed, 0)
	ggml.SetSlice(x, ones, 0)

	graph := backend.NewGraph(8)
	y := products.Product(graph, w, products.Quantise(graph, x), nil) // [out, tokens]
	graph.Expand(y)
	scratch := backend.NewScratch()
	if _, err := scratch.Alloc(graph); err != nil {
		log.Fatal(err)
	}
	if err := backend.Compute(graph); err != nil {
		log.Fatal(err)
	}
	results := make([]float32, y.Elements())
	ggml.GetSlice(y, results, 0)
	fmt.Printf("%v %.0f %.0f\n", y, results[1], results[31])

	graph.Close()
	scratch.Close()
	inputs.Close()
	shapes.Close()
	if err := backend.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: f32 [32 1 1 1] 32 992
}
