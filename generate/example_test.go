package generate_test

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/generate"
)

// counter is a model of ten tokens that expects the number after the last one, or else the one
// after that.
type counter struct{ tokens []int32 }

func (c *counter) Len() int             { return len(c.tokens) }
func (c *counter) Truncate(n int) error { c.tokens = c.tokens[:n]; return nil }
func (c *counter) Close() error         { return nil }
func (c *counter) Fork() (*counter, error) {
	return &counter{append([]int32(nil), c.tokens...)}, nil
}

// counting is what a step appends to a counter.
type counting struct {
	Seq    *counter
	Tokens []int32
	Logits int
	Drafts int

	Before, More int
	Again        int
}

func count(_ context.Context, batch []counting, _ [][][]float32) (out [][][]float32, _ error) {
	for _, w := range batch {
		c := w.Seq
		c.tokens = append(c.tokens, w.Tokens...)
		logits := make([]float32, 10)
		last := c.tokens[len(c.tokens)-1]
		logits[(last+1)%10], logits[(last+2)%10] = 5, 4
		out = append(out, [][]float32{logits})
	}
	return out, nil
}

func ExampleTokens() {
	config := generate.Config{MaxNewTokens: 20, EOS: []int32{9}}
	for token, err := range generate.Tokens(context.Background(), count, &counter{}, []int32{4, 5}, nil, config) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(token.ID, " ")
	}
	// Output: 6 7 8 9
}

// A beam search for one prompt and a greedy one for another go through the model together.
func ExampleBatch() {
	batch := generate.NewBatch(count, generate.BatchOptions[*counter]{})
	defer batch.Close()
	greedy, err := batch.Add(generate.Request[*counter]{Seq: &counter{}, Prompt: []int32{1}, Config: generate.Config{MaxNewTokens: 4}})
	if err != nil {
		fmt.Println(err)
		return
	}
	beams, err := batch.Add(generate.Request[*counter]{
		Seq: &counter{}, Prompt: []int32{5}, Config: generate.Config{MaxNewTokens: 3, Beams: 3, Texts: 2, LengthPenalty: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := batch.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(greedy.Results()[0].IDs())
	for _, text := range beams.Results() {
		fmt.Printf("%v %.2f, by way of beams %v\n", text.IDs(), text.Score, text.Beams)
	}
	// Output:
	// [2 3 4 5]
	// [6 7 8] -0.35, by way of beams [0 0 0]
	// [6 7 9] -0.69, by way of beams [0 0 0]
}
