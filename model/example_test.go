package model_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
)

// A file names its architecture; what is not known is refused with the list of what is.
func ExampleFind() {
	known := []model.Architecture{llama.Architecture()}
	_, err := model.Find("llama", known)
	fmt.Println(err)
	_, err = model.Find("mamba", known)
	fmt.Println(err)
	// Output:
	// <nil>
	// model: architecture "mamba" is not supported: want one of llama
}
