package sample_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/sample"
)

// Draw tokens as a search does: the chain changes the scores of the next token, the sampler draws
// from what is left.
func Example() {
	config := sample.Config{Temperature: new(0.8), TopK: new(3), SuppressTokens: []int32{0}}
	prompt := []int32{5, 1}
	chain, err := config.Chain(sample.Setting{PromptLength: len(prompt), Sample: true})
	if err != nil {
		log.Fatal(err)
	}
	scores := []float32{9, 2.5, 3, -1, 2, 0.5}
	if err := chain.Process(prompt, scores); err != nil {
		log.Fatal(err)
	}
	fmt.Println(scores)

	sampler := sample.NewSampler(1)
	drawn := map[int32]int{}
	for range 1000 {
		id, err := sampler.Draw(scores)
		if err != nil {
			log.Fatal(err)
		}
		drawn[id]++
	}
	fmt.Println(drawn)
	// Output:
	// [-Inf 3.125 3.75 -Inf 2.5 -Inf]
	// map[1:281 2:565 4:154]
}
