package gguf_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/gguf"
)

func Example() {
	f, err := gguf.Open("../testdata/models/tiny-gqa.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = f.Close() }()

	layers, _ := f.Uint("llama.block_count")
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	fmt.Println(f.Architecture(), "with", layers, "layers and", len(tokens), "tokens")

	t, _ := f.Tensor("blk.0.attn_q.weight")
	fmt.Println(t, "in", len(f.Data(t)), "bytes")
	// Output:
	// llama with 5 layers and 264 tokens
	// blk.0.attn_q.weight f32 [64 128] in 32768 bytes
}
