package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/tokenizer"
)

func Example() {
	t, err := tokenizer.Open("../testdata/models/tiny-gqa.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	ids, err := t.Encode("the café", tokenizer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids)

	d := t.NewDecoder(true)
	for _, id := range ids {
		fmt.Printf("%q ", d.Next(id)) // é is two tokens
	}
	// Output:
	// [116 260 32 99 97 102 195 169]
	// "t" "he" " " "c" "a" "f" "" "é"
}
