package llama_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/ggml/llama"
)

func ExampleVocab_Tokenize() {
	v, err := llama.OpenVocab("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	ids, err := v.Tokenize([]byte("in the end</s>"), false, true)
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range ids {
		piece, err := v.Piece(id, true)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %q\n", id, piece)
	}
	// Output:
	// 261 "in"
	// 259 " t"
	// 260 "he"
	// 32 " "
	// 101 "e"
	// 110 "n"
	// 100 "d"
	// 257 "</s>"
}
