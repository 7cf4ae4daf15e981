package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/hub"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// modelHelp is the help of the flag that names a model.
const modelHelp = "The model: a GGUF `FILE`, or one on the Hugging Face hub as hf://OWNER/REPO/FILE, hf://OWNER/REPO:QUANT or a pasted address."

// modelFile returns the file that a model's name stands for: the name itself, or for one on the hub
// a file in the hub's cache, where it is downloaded if need be. Progress and notes go to w.
func modelFile(ctx context.Context, name string, w io.Writer) (string, error) {
	if !hub.IsName(name) {
		return name, checkModelFile(name)
	}
	bar := &downloadBar{w: w}
	ref, o, err := onHub(ctx, name, bar)
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

// onHub returns which file on the hub a name stands for, and the options to ask for it.
func onHub(ctx context.Context, name string, bar *downloadBar) (hub.Ref, hub.Options, error) {
	o, err := hub.FromEnvironment()
	if err != nil {
		return hub.Ref{}, o, err
	}
	o.UserAgent = "ebb/" + buildVersion()
	o.Progress = bar.update
	o.Note = func(note string) {
		bar.clear()
		printNotes(bar.w, []string{note})
	}
	ref, err := hub.Resolve(ctx, name, o)
	if errors.Is(err, hub.ErrName) {
		err = misuseError{err}
	}
	return ref, o, err
}

// openHeader opens the model of a name for what its header says. Of a model on the hub that is not
// in the cache only the header is read, and nothing is kept. Notes go to w.
func openHeader(ctx context.Context, name string, w io.Writer) (*gguf.File, error) {
	if !hub.IsName(name) {
		return gguf.Open(name)
	}
	ref, o, err := onHub(ctx, name, &downloadBar{w: w})
	if err != nil {
		return nil, err
	}
	file, err := hub.ReadHeader(ctx, ref, o)
	if errors.Is(err, context.Canceled) {
		return nil, errors.New("interrupted")
	}
	return file, err
}

// checkModelFile says what is wrong with the name of a file that is not there.
func checkModelFile(name string) error {
	_, err := os.Stat(name)
	switch {
	case strings.Contains(name, "://"):
		return misusef("%s: this address is not on the Hugging Face hub: want a GGUF file, or hf://OWNER/REPO/FILE", name)
	case errors.Is(err, os.ErrNotExist) && !strings.HasSuffix(name, ".gguf"):
		return fmt.Errorf("%s: no such file; a model on the Hugging Face hub is named hf://OWNER/REPO/FILE or hf://OWNER/REPO:QUANT", name)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: no such file", name)
	}
	return nil // what else is wrong with a file is found where it is opened
}

// memoryAdvice adds to an error of opening a model what a user whose device is too small may do.
func (f *engineFlags) memoryAdvice(err error) error {
	o := &f.options
	_, short := errors.AsType[*plan.ShortError](err)
	_, over := errors.AsType[*plan.BudgetError](err)
	switch {
	case !short && !over:
		return err
	case o.Cache == kv.Dynamic || o.Cache == kv.Static:
		return fmt.Errorf("%w; with --cache offloaded K/V wait in host memory, and less is needed", err)
	case o.Cache == kv.Auto && f.computesOnCPU() && o.Disk == "": // with a disk, layers stream already
		return fmt.Errorf("%w; with --disk DIR K/V wait in files, and less is needed", err)
	default:
		return err
	}
}
