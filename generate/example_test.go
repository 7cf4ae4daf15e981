package generate_test

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/generate"
)

// counter is a model of ten tokens that always expects the number after the last one.
type counter struct{}

func (counter) Forward(_ context.Context, tokens []int32) ([]float32, error) {
	logits := make([]float32, 10)
	logits[(tokens[len(tokens)-1]+1)%10] = 1
	return logits, nil
}

func ExampleGreedy() {
	config := generate.Config{MaxNewTokens: 20, EOS: []int32{9}}
	for token, err := range generate.Greedy(context.Background(), counter{}, []int32{4, 5}, config) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(token.ID, " ")
	}
	// Output: 6 7 8 9
}
