package conversation_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
)

// A prompt goes on from what was computed of it for another one.
func Example() {
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	s, err := conversation.New(e, conversation.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	system := make([]int32, 100)
	for i := range system {
		system[i] = int32(i + 10)
	}
	for _, question := range []int32{40, 50} {
		prompt := slices.Concat(system, []int32{question, 60})
		c, found, err := s.Take(context.Background(), conversation.Prompt{Tokens: prompt, Turn: 102})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := e.Prefill(context.Background(), c.Seq(), prompt[c.Seq().Len():], 1); err != nil {
			log.Fatal(err)
		}
		if err := s.Put(context.Background(), c, nil); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d of %d tokens were there\n", found.Cached, len(prompt))
	}
	// Output:
	// 0 of 102 tokens were there
	// 100 of 102 tokens were there
}
