package ebb_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// The model has random weights and was made for tests, so what it says makes no
// sense; but it always says the same.
func ExampleOpen() {
	engine, err := ebb.Open("testdata/models/tiny-gqa.gguf", ebb.Options{Cache: kv.Offloaded, DeviceMemory: 512 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	config := ebb.GenerationConfig{MaxNewTokens: 4}
	for text, err := range engine.Generate(context.Background(), "I am", config) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
	}
	// Output: 1M)1
}

// Two prompts of different lengths go through the model together; then one of
// them goes on in two ways, which share the rows of what they have in common.
func ExampleEngine_Forward() {
	engine, err := ebb.Open("testdata/models/tiny-gqa.gguf", ebb.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	ctx, a, b := context.Background(), engine.NewSeq(), engine.NewSeq()
	logits, err := engine.Forward(ctx, []kv.Work{
		{Seq: a, Tokens: []int32{73, 262, 109}, Logits: 1},
		{Seq: b, Tokens: []int32{72, 105}, Logits: 2},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(logits[0]), "and", len(logits[1]), "rows of", len(logits[0][0]))

	fork, err := a.Fork()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := engine.Forward(ctx, []kv.Work{
		{Seq: a, Tokens: []int32{49}},
		{Seq: fork, Tokens: []int32{41, 77}},
	}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Tokens(), fork.Tokens())
	// Output:
	// 1 and 2 rows of 264
	// [73 262 109 49] [73 262 109 41 77]
}
