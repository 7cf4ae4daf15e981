package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/internal/bytesize"
)

// memoryNames describe what memory is used for, in the order in which it is printed.
var memoryNames = []struct {
	purpose ggml.Purpose
	name    string
}{
	{ggml.Weights, "weights"},
	{ggml.Regions, "K/V of layers that stay"},
	{ggml.Slots, "K/V of layers that visit"},
	{ggml.States, statesOfSeqs},
	{ggml.Masks, "attention masks"},
	{ggml.Activations, "activations"},
	{ggml.Inputs, "ids and positions"},
	{ggml.Scratches, "scratch"},
	{ggml.HostRows, "K/V kept off the device"},
}

// printVerbose prints what an engine computes with and what its memory is used for.
func printVerbose(w io.Writer, engine *ebb.Engine, o ebb.Options) error {
	library, err := ggml.Load()
	if err != nil {
		return err
	}
	vocabulary, err := llama.Version()
	if err != nil {
		return err
	}
	s := engine.Stats()
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s  %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	line("libraries", "ggml %s and libllama %s in %s", library.Version(), vocabulary, library.Dir())
	line("devices", "%s", engine.Devices())
	if set := cpuInstructionSet(s); set != "" {
		k := readKernels()
		k.Set = set
		line("kernels", "of attention and of products of packed weights: %s", describeKernels(k))
	}
	line("context", "%s, K/V in %s, %v", count(engine.Context(), "token"), cmp.Or(o.KVType, "f16"), s.Cache.Policy)
	scratch := int64(0)
	for _, d := range s.Devices {
		printMemory(w, d.Name, d.Device)
		if d.Name == "cpu" {
			scratch += d.Device.Current[ggml.Scratches]
		}
	}
	p, err := readProcessMemory(engine.HostMemory(), scratch)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	p.print(w)
	return nil
}

// printMemory prints what a device's memory is used for: now, and at the peak.
func printMemory(w io.Writer, device string, u ggml.Usage) {
	row := func(name, purpose, now, most string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-9s  %-25s%11s%11s", name, purpose, now, most), " "))
	}
	row(device, "memory for", "now", "at most")
	var now, most int64
	for _, m := range memoryNames {
		if u.Peak[m.purpose] == 0 {
			continue
		}
		row("", m.name, bytesize.Format(u.Current[m.purpose]), bytesize.Format(u.Peak[m.purpose]))
		if m.purpose == ggml.Weights && u.Mapped > 0 {
			row("", "  of them, in the file", bytesize.Format(u.Mapped), "")
		}
		if m.purpose != ggml.HostRows {
			now, most = now+u.Current[m.purpose], most+u.Peak[m.purpose]
		}
	}
	row("", "on the device in all", bytesize.Format(now), bytesize.Format(most))
}
