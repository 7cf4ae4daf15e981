package testmodel_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func Example() {
	f, err := gguf.Parse(testmodel.Llama(testmodel.Options{Layers: 2, Tied: true, Seed: 7}))
	if err != nil {
		log.Fatal(err)
	}
	q, _ := f.Tensor("blk.1.attn_q.weight")
	fmt.Println(f.Architecture(), len(f.Tensors()), "tensors;", q)
	// Output: llama 20 tensors; blk.1.attn_q.weight f32 [64 128]
}
