package grammar_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/sample"
)

// The best token that the grammar allows, again and again. The scores here are a model's that would
// rather write "the the".
func Example() {
	vocab, err := llama.OpenVocab("../testdata/models/tiny-gqa.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer vocab.Close()
	g, err := grammar.New(vocab, `root ::= "in" (" a" | " the")* "."`)
	if err != nil {
		log.Fatal(err)
	}
	prompt := []int32{256}
	processor := g.Processor(len(prompt), nil)

	ids := prompt
	for !vocab.IsEOG(ids[len(ids)-1]) {
		scores := make([]float32, vocab.Size())
		scores[259], scores['h'], scores['e'] = 3, 2, 1 // " t", "h", "e"
		scores['.'] = float32(len(ids)) - 6
		if err := processor.Process(ids, scores); err != nil {
			log.Fatal(err)
		}
		id, err := sample.Argmax(scores)
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, id)
	}
	text, err := vocab.Detokenize(ids[len(prompt):], false, false)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", text)
	// Output: "in the the."
}
