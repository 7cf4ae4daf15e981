package ebb_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// The model has random weights and was made for tests, so what it says makes no sense; but it
// always says the same.
func ExampleOpen() {
	engine, err := ebb.Open("testdata/models/tiny-gqa.gguf", ebb.Options{Cache: kv.Offloaded, KVMemory: 512 << 20})
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

// Two prompts of different lengths go through the model together; then one of them goes on in two
// ways, which share the rows of what they have in common.
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

// A beam search finds texts that the likeliest token at each step does not lead to. All beams go
// through the model together, and share the rows of what they have in common.
func ExampleEngine_Complete() {
	engine, err := ebb.Open("testdata/models/tiny-gqa.gguf", ebb.Options{Threads: 1, Cache: kv.Offloaded})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	config := ebb.GenerationConfig{
		MaxNewTokens: 20, NumBeams: 2, NumReturnSequences: 2,
		EOSTokenID: ebb.TokenIDs{55, 188}, EarlyStopping: generate.StopWhenEnough,
	}
	completions, err := engine.Complete(context.Background(), []int32{114, 73, 57, 131, 50}, config)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range completions {
		fmt.Printf("%v %.2f, ended by its %v\n", s.IDs, s.Score, s.Finish)
	}
	// Output:
	// [162 174 55] -1.00, ended by its end token
	// [55] -1.23, ended by its end token
}

// Two prompts, one answered greedily and one by drawing, go through the model in one pass a step.
func ExampleEngine_NewBatch() {
	engine, err := ebb.Open("testdata/models/tiny-gqa.gguf", ebb.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	batch := engine.NewBatch(ebb.BatchOptions{})
	defer batch.Close()
	greedy, err := batch.Add(ebb.Request{Prompt: []int32{22}, Config: ebb.GenerationConfig{MaxNewTokens: 4}})
	if err != nil {
		log.Fatal(err)
	}
	drawn, err := batch.Add(ebb.Request{Prompt: []int32{72, 105}, Config: ebb.GenerationConfig{MaxNewTokens: 6, DoSample: true, NumReturnSequences: 3}})
	if err != nil {
		log.Fatal(err)
	}
	if err := batch.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(greedy.Completions()[0].IDs)
	fmt.Println(len(drawn.Completions()), "texts in", engine.Stats().Cache.Steps, "passes")
	// Output:
	// [77 70 70 174]
	// 3 texts in 6 passes
}
