package measure

import (
	"fmt"
	"path/filepath"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/model"
)

// Model is the model that is run.
type Model struct {
	File      string `json:"file"`
	Context   int    `json:"context"`      // tokens that it was trained for
	StepBytes int64  `json:"step_bytes"`   // bytes of weights that a step of one token reads
	Weights   int64  `json:"weight_bytes"` // bytes of all tensors
}

// ReadModel reads what a report says of a model.
func ReadModel(path string) (Model, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Model{}, fmt.Errorf("bench: %w", err)
	}
	m := modelOf(f)
	m.File = filepath.Base(path)
	return m, f.Close()
}

// modelOf adds up a model's tensors.
func modelOf(f *gguf.File) Model {
	context, _ := f.Int(f.Architecture() + ".context_length")
	m := Model{Context: int(context)}
	for _, t := range f.Tensors() {
		m.Weights += t.Size
	}
	m.StepBytes = model.StepBytes(f)
	return m
}
