package hub_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/hub"
)

func ExampleParse() {
	r, err := hub.Parse("hf://owner/repo/folder/model-Q4_K_M.gguf@v1.1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Owner, r.Repo, r.Revision, r.File)
	// Output: owner repo v1.1 folder/model-Q4_K_M.gguf
}
