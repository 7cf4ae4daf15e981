package bench

import (
	"fmt"
	"path/filepath"

	"github.com/seed4d217819/ebb/gguf"
)

// Model is what is run.
type Model struct {
	File      string `json:"file"`
	Context   int    `json:"context"`      // tokens that it was made for
	StepBytes int64  `json:"step_bytes"`   // of weights that a step reads, however many tokens it has
	Weights   int64  `json:"weight_bytes"` // of all tensors
}

// readModel looks a model up.
func readModel(path string) (Model, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Model{}, fmt.Errorf("bench: %w", err)
	}
	m := modelOf(f)
	m.File = filepath.Base(path)
	return m, f.Close()
}

// modelOf sums a model's tensors up. A step reads all of them; but of the
// embedding, unless the logits are computed with it too, only the rows of its
// tokens.
func modelOf(f *gguf.File) Model {
	context, _ := f.Int(f.Architecture() + ".context_length")
	m := Model{Context: int(context)}
	for _, t := range f.Tensors() {
		m.Weights += t.Size
	}
	m.StepBytes = m.Weights
	if _, ok := f.Tensor("output.weight"); ok {
		embedding, _ := f.Tensor("token_embd.weight")
		m.StepBytes -= embedding.Size
	}
	return m
}
