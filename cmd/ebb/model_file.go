package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/hub"
)

// modelHelp is the help of the flag that names a model.
const modelHelp = "The model: a GGUF `FILE`, or one on the Hugging Face hub as hf://OWNER/REPO/FILE, hf://OWNER/REPO:QUANT or a pasted address."

// modelFile returns the file that a model's name stands for: the name itself, or for one on the hub
// a file in the hub's cache, where it is downloaded if need be. Progress and notes go to w.
func modelFile(ctx context.Context, name string, w io.Writer) (string, error) {
	if !hub.IsName(name) {
		return name, nil
	}
	o, err := hub.FromEnvironment()
	if err != nil {
		return "", err
	}
	bar := &downloadBar{w: w}
	o.UserAgent = "ebb/" + buildVersion()
	o.Progress = bar.update
	o.Note = func(note string) {
		bar.clear()
		printNotes(w, []string{note})
	}
	ref, err := hub.Resolve(ctx, name, o)
	if errors.Is(err, hub.ErrName) {
		err = misuseError{err}
	}
	if err != nil {
		return "", err
	}
	path, err := hub.Fetch(ctx, ref, o)
	bar.clear()
	if errors.Is(err, context.Canceled) {
		return "", fmt.Errorf("interrupted: what was downloaded of %v is kept, and the same command goes on from there", ref)
	}
	return path, err
}

// openHeader opens the model of a name for what its header says.
func openHeader(ctx context.Context, name string, w io.Writer) (*gguf.File, error) {
	path, err := modelFile(ctx, name, w)
	if err != nil {
		return nil, err
	}
	return gguf.Open(path)
}
