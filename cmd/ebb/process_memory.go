package main

import (
	"fmt"
	"io"
	"reflect"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/memory"
)

// processMemory is what the process has in memory, by what it is for.
type processMemory struct {
	lines []memoryLine
	rest  int64 // of no line: memory that was freed and not yet given back, and what Go's runtime has for itself
	all   int64
	huge  int64 // of all: in huge pages
}

// memoryLine is one use of memory.
type memoryLine struct {
	name  string
	bytes int64
}

// The names of lines.
const (
	mappedWeights = "weights, in their file"
	copiedWeights = "weights, private copies"
	keysAndValues = "K/V"
	statesOfSeqs  = "states of sequences"
)

// readProcessMemory says what the memory of the process is for. The buffers are those of its engine,
// and scratch is what its graphs compute in.
func readProcessMemory(buffers []ggml.HostMemory, scratch int64) (p processMemory, err error) {
	mappings, err := memory.Mappings()
	if err != nil {
		return p, err
	}
	held, onHeap := map[string]int64{}, scratch
	for _, b := range buffers {
		n, err := memory.Resident(b.Base, b.Size)
		if err != nil {
			return p, err
		}
		held[lineOf(b)] += n
		if b.Heap {
			onHeap += b.Size
		}
	}
	var code, goHeap, stacks int64
	for i, m := range mappings {
		p.all += m.Resident
		p.huge += m.Huge
		switch {
		case m.IsCode():
			code += m.Resident
		case ofGo(m):
			goHeap += m.Resident
		case m.Path == "[stack]" || i > 0 && isStack(mappings[i-1], m):
			stacks += m.Resident
		}
	}
	p.lines = []memoryLine{
		{mappedWeights, held[mappedWeights]},
		{copiedWeights, held[copiedWeights]},
		{keysAndValues, held[keysAndValues]},
		{statesOfSeqs, held[statesOfSeqs]},
		{"inputs and activations", held["inputs and activations"]},
		{"scratch", scratch},
		{"vocabulary and graphs", max(0, memory.CHeap()-onHeap)},
		{"Go heap", goHeap},
		{"program and libraries", code},
		{"stacks of threads", stacks},
	}
	p.rest = p.all
	for _, l := range p.lines {
		p.rest -= l.bytes
	}
	return p, nil
}

// lineOf returns the line that a buffer belongs to.
func lineOf(b ggml.HostMemory) string {
	switch b.Purpose {
	case ggml.Weights:
		if b.Mapped {
			return mappedWeights
		}
		return copiedWeights
	case ggml.Regions, ggml.Slots, ggml.HostRows:
		return keysAndValues
	case ggml.States:
		return statesOfSeqs
	default:
		return "inputs and activations"
	}
}

// ofGo reports whether a mapping belongs to Go's heap, for which the runtime keeps addresses apart
// from all others.
func ofGo(m memory.Mapping) bool {
	const region = 1 << 36
	return !m.IsFile() && m.From/region == reflect.ValueOf(new(memoryLine)).Pointer()/region
}

// isStack reports whether a mapping is the stack of a thread: it follows a page that cannot be
// touched, and is as large as the C library makes stacks.
func isStack(before, m memory.Mapping) bool {
	return m.Path == "" && m.Writable && before.To == m.From && !before.Writable && before.Resident == 0 && m.To-m.From == memory.StackSize()
}

// print prints the lines, what is left, and the sum.
func (p processMemory) print(w io.Writer) {
	row := func(purpose string, bytes int64) {
		fmt.Fprintf(w, "%-9s  %-25s%11s\n", "", purpose, bytesize.Format(bytes))
	}
	fmt.Fprintf(w, "%-9s  %-25s%11s\n", "process", "memory for", "now")
	for _, l := range p.lines {
		if l.bytes > 0 {
			row(l.name, l.bytes)
		}
	}
	row("the rest", p.rest)
	row("in memory in all", p.all)
	row("  in huge pages", p.huge)
}
